"""Checks shared by the policies. Each error names the argument and what it must be.

A converter turns an ``int`` of seconds into a ``float`` and passes everything else on,
because only the validator after it knows the name to put in the message. A wrong type
is a ``TypeError``, a wrong value a ``ValueError``.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import TYPE_CHECKING, Any, cast


if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs


def seconds(value: float) -> float:
    """Return an ``int`` as a ``float``, and anything else unchanged."""
    if type(value) is not int:  # a bool is an int as well, but not a duration
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def seconds_or_none(value: float | None) -> float | None:
    """Convert as ``seconds`` does, but keep None."""
    return None if value is None else seconds(value)


def positive(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse all but a finite number of seconds above 0."""
    name = name_of(instance, attribute)
    if _number(name, "a positive number of seconds", value) <= 0:
        raise ValueError(f"{name} must be a positive number of seconds, not {value:g}.")


def not_negative(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Refuse all but a finite number of seconds, 0 or more."""
    name = name_of(instance, attribute)
    if _number(name, "a number of seconds, 0 or more", value) < 0:
        raise ValueError(
            f"{name} must be a number of seconds, 0 or more, not {value:g}."
        )


def positive_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``positive`` does, but allow None."""
    if value is not None:
        positive(instance, attribute, value)


def check_positive(name: str, value: object, *, also: str = "") -> None:
    """Refuse all but seconds above 0. The error names ``also`` as allowed, too."""
    right = f"a positive number of seconds{also}"
    if _number(name, right, value) <= 0:
        raise ValueError(f"{name} must be {right}, not {value}.")


def instance_of(
    kind: type, right: str
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator for a type, which its error calls ``right``."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        require(value, kind, name_of(instance, attribute), right)

    return check


def check_duration(name: str, value: object) -> None:
    """Refuse all but a finite number of seconds, 0 or more, for argument ``name``."""
    right = "a number of seconds, 0 or more"
    if _number(name, right, value) < 0:
        raise ValueError(f"{name} must be {right}, not {value}.")


def positive_int(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Refuse all but a whole number above 0."""
    whole_number(name_of(instance, attribute), value, at_least=1)


def positive_int_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``positive_int`` does, but allow None."""
    if value is not None:
        positive_int(instance, attribute, value)


def whole_number(name: str, value: object, *, at_least: int) -> None:
    """Refuse all but a whole number of at least ``at_least``: no bool, no float."""
    right = "a positive whole number" if at_least else "a whole number, 0 or more"
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, right, value)
    if value < at_least:
        raise ValueError(f"{name} must be {right}, not {value}.")


def one_of(
    *choices: object,
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that accepts only these values."""
    right = f"one of {', '.join(repr(choice) for choice in choices)}"

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        # Compare the types too: 1 == True.
        if any(type(value) is type(item) and value == item for item in choices):
            return
        name = name_of(instance, attribute)
        if type(value) not in {type(item) for item in choices}:
            raise wrong_type(name, right, value)
        raise ValueError(f"{name} must be {right}, not {value!r}.")

    return check


def synchronous(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Refuse all but a plain callable: the library does not await its answer."""
    require_synchronous(value, name_of(instance, attribute))


def synchronous_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``synchronous`` does, but allow None."""
    if value is not None:
        synchronous(instance, attribute, value)


def is_coroutine_callable(value: object) -> bool:
    """Return whether a call gives a coroutine, also through a partial or an object."""
    while isinstance(value, functools.partial):
        value = cast("functools.partial[object]", value).func
    called = getattr(type(value), "__call__", None)  # noqa: B004 - to look at, not call
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(called)


def require(
    value: object, kind: type | tuple[type, ...], name: str, right: str
) -> None:
    """Refuse a value of another type, for callers who run no type checker."""
    if not isinstance(value, kind):
        raise wrong_type(name, right, value)


def check_encodable(name: str, text: str) -> None:
    """Refuse text that UTF-8 cannot encode, without repeating it: it may be secret."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must not contain lone surrogates, which UTF-8 cannot carry."
        ) from None


def require_callable(value: object, name: str) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise wrong_type(name, "a callable", value)


def require_synchronous(value: object, name: str, right: str = "a callable") -> None:
    """Refuse what cannot be called, and coroutine functions."""
    if not callable(value):
        raise wrong_type(name, right, value)
    if is_coroutine_callable(value):
        raise TypeError(
            f"{name} must be a plain function, not a coroutine function (async def)."
        )


def name_of(instance: object, attribute: attrs.Attribute[Any]) -> str:
    """Return the name as the user writes it: ``Timeouts.open``."""
    return f"{type(instance).__name__}.{attribute.name}"


def wrong_type(name: str, right: str, value: object) -> TypeError:
    """Return the error for a value whose type is not ``right``."""
    return TypeError(f"{name} must be {right}, not {_a(value)}.")


def _number(name: str, right: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, right, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be {right}, not {value:g}: it has to be finite.")
    return value


def _a(value: object) -> str:
    # Only the type: a misplaced value may be a secret.
    return "None" if value is None else f"a value of type {type(value).__name__}"
