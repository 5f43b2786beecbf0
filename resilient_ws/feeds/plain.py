"""What JSON can hold of an item or a gap, for sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import attrs


if TYPE_CHECKING:
    from resilient_ws.feeds.source import Gap


def plain(value: object) -> dict[str, Any]:
    """Return what JSON can hold of an attrs object: the ``default`` of an encoder.

    Raises:
        TypeError: It is something else.
    """
    kind = type(value)
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    raise TypeError(f"JSON cannot hold a {kind.__name__}: give body_of.")


def because(gap: Gap) -> str:
    """Return why there is a gap, with the name of the error."""
    return f"{type(gap.because).__name__}: {gap.because}"


def is_batch(item: object) -> TypeGuard[tuple[Any, ...]]:
    """Return whether an item is several, as ``batches`` makes them."""
    return isinstance(item, tuple)
