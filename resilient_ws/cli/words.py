"""Put events into words for people, and into JSON for programs."""

from __future__ import annotations

import base64
import enum
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs

from resilient_ws import printable
from resilient_ws.errors import HandshakeRejected, ResilientWSError
from resilient_ws.events import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionTimedOut,
    Event,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    RetryScheduled,
    ServerTerminated,
    SessionClosed,
)


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SOURCES: Final = {
    "wait": "",
    "retry_after": ", as the server asked with Retry-After",
    "floor": ", as the server's answer advises",
    "failover": ", at the next URL",
    "request": ", on request",
}
#: How the library's errors name what an option sets. Common words are replaced only at
#: the start of the text.
_OPTIONS: Final = {
    re.compile(r"Reconnect\.max_outage"): "--give-up-after",
    re.compile(r"Access\(allow_insecure=\s*True\)"): "--allow-insecure",
    re.compile(r"^headers\b"): "--header",
    re.compile(r"^subprotocols\b"): "--subprotocol",
    re.compile(r"^url\b"): "URL",
}
#: Headers of an answer in which a server has no reason to repeat a secret.
_TELLING: Final = frozenset(
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
_TIMEOUTS: Final = {
    "open": "no connection",
    "restore": "on_open did not finish",
    "ping": "not a byte came",
    "idle": "no message came",
    "close": "the server did not say goodbye",
}


def told(because: BaseException) -> str:
    """Return the text of one of our errors, else its class: the text may be secret."""
    ours = isinstance(because, ResilientWSError)
    return in_options(str(because)) if ours else type(because).__name__


def in_options(text: str) -> str:
    """Return a text of the library with the names of the command's options."""
    for argument, option in _OPTIONS.items():
        text = argument.sub(option, text)
    return text


def counted(number: int, what: str) -> str:
    """Return ``1 message``, ``2 messages``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def in_words(event: Event) -> str | None:
    """Return a line for people, ``None`` for events that only programs need."""
    line = _in_words(event)
    return None if line is None else printable(line)


def _in_words(event: Event) -> str | None:  # noqa: PLR0911 - one line for each event
    match event:
        case ConnectionOpened():
            return _opened(event)
        case ConnectionDropped():
            return _dropped(event)
        case AttemptFailed():
            return f"attempt {event.attempt} failed: {told(event.because)}"
        case RetryScheduled():
            source = _SOURCES[event.source]
            return f"attempt {event.attempt} in {event.delay:.1f} s{source}"
        case ConnectionTimedOut():
            return f"timed out: {_TIMEOUTS[event.kind]} within {event.after:.1f} s"
        case ServerTerminated():
            reason = f', "{event.reason}"' if event.reason else ""
            return f"the server closed: {event.code} {event.meaning}{reason}"
        case SessionClosed():
            unsent = f"; {counted(event.dropped, 'message')} not sent"
            return f"closed{unsent if event.dropped else ''}"
        case _:
            return _trouble(event)


def _opened(event: ConnectionOpened) -> str:
    line = f"open: connection {event.epoch} to {event.endpoint}"
    if event.subprotocol is not None:
        line += f", subprotocol {event.subprotocol}"
    if event.resumed_after is not None:
        line += f", after {event.resumed_after:.1f} s offline"
    return line


def _dropped(event: ConnectionDropped) -> str:
    line = f"dropped after {event.uptime:.1f} s: {told(event.because)}"
    if event.unconfirmed:
        line += f" ({counted(event.unconfirmed, 'sent message')} may not have arrived)"
    return line


def _trouble(event: Event) -> str | None:
    """Return a line for a problem that is not the connection's, or None."""
    match event:
        case InboxOverflowed(overflow="pause"):
            return "not reading on: the messages come faster than they are taken"
        case InboxOverflowed() | OutboxOverflowed():
            return f"{counted(event.discarded, 'message')} discarded ({event.overflow})"
        case HandlerFailed():
            return f"{event.handler} failed: {told(event.because)}"
        case LoopLagged():
            return f"this process was held up for {event.by:.1f} s"
        case _:
            return None


def as_json(event: Event, *, time: float) -> str:
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
        name: value if name.lower() in _TELLING else "***"
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
            return {"type": type(value).__name__, "message": told(value), **attributes}
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(key): _plain(item) for key, item in items}
        case tuple() | list():
            return [_plain(item) for item in cast("Sequence[object]", value)]
        case _ if attrs.has(type(value)):
            return dict(_fields(value))
        case _:
            return str(value)
