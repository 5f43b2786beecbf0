"""Put events into JSON for programs."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs

from resilient_ws.cli.error_text import error_text
from resilient_ws.errors import HandshakeRejected, ResilientWSError


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resilient_ws.events import Event

#: Headers of an answer in which a server has no reason to repeat a secret.
_SHOWN_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "date",
        "retry-after",
        "sec-websocket-version",
        "server",
        "upgrade",
        "via",
    }
)


def event_json(event: Event, *, time: float) -> str:
    """Return an event as a JSON object on one line.

    Its fields are the event's own; an exception is an object with ``type``,
    ``message`` and its attributes. A server may repeat a token in a refusal, so only
    the size of its body is written, and only the names of most headers.
    """
    fields = dict(_fields(event))
    return json.dumps({"event": type(event).__name__, "time": time, **fields})


def _fields(value: object) -> Iterator[tuple[str, object]]:
    kind: type = type(value)
    if attrs.has(kind):
        for field in attrs.fields(kind):
            found = getattr(value, field.name)
            if field.name == "headers":
                found = _masked(found)
            yield field.name, _plain(found)
    elif isinstance(value, HandshakeRejected):
        yield from _refusal(value)
    else:
        for name, attribute in vars(value).items():
            if not name.startswith("_"):
                yield name, _plain(attribute)


def _refusal(refused: HandshakeRejected) -> Iterator[tuple[str, object]]:
    yield "status", refused.status
    yield "by", refused.by
    yield "headers", _masked(refused.headers)
    yield "body_size", len(refused.body)


def _masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value if name.lower() in _SHOWN_HEADERS else "***"
        for name, value in headers.items()
    }


def _plain(value: object) -> object:  # noqa: PLR0911 - one line for each type
    """Return a value as a type that JSON has."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case enum.Enum():
            return value.value
        case bytes():
            return base64.b64encode(value).decode()
        case BaseException():
            attributes = (
                dict(_fields(value)) if isinstance(value, ResilientWSError) else {}
            )
            return {
                "type": type(value).__name__,
                "message": error_text(value),
                **attributes,
            }
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(key): _plain(item) for key, item in items}
        case tuple() | list():
            return [_plain(item) for item in cast("Sequence[object]", value)]
        case _ if attrs.has(type(value)):
            return dict(_fields(value))
        case _:
            return str(value)
