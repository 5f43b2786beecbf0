"""The frames of Phoenix channels: in JSON, or binary where the payload is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from resilient_ws.feeds.json import loads


if TYPE_CHECKING:
    from resilient_ws.protocol.message import Message


#: A message: join_ref, ref, topic, event, payload.
Frame: TypeAlias = tuple[Any, Any, str, str, Any]
#: The kinds of binary messages.
_PUSH, _REPLY, _BROADCAST = 0, 1, 2
#: How many fields a binary message of each kind has before its payload.
_FIELDS: Final = {_PUSH: 3, _REPLY: 4, _BROADCAST: 2}


def frame_in(message: Message) -> Frame:
    """Return the frame that a message is."""
    return loads(message) if isinstance(message, str) else _binary(message)


def _binary(message: bytes) -> Frame:
    """Return what a binary message says: its lengths, its fields, and the payload."""
    kind = message[0]
    at = 1 + _FIELDS[kind]
    fields: list[str] = []
    for length in message[1:at]:
        fields.append(message[at : at + length].decode())
        at += length
    payload = message[at:]
    if kind == _PUSH:
        join, topic, event = fields
        return join, None, topic, event, payload
    if kind == _BROADCAST:
        topic, event = fields
        return None, None, topic, event, payload
    join, ref, topic, status = fields
    return join, ref, topic, "phx_reply", {"status": status, "response": payload}
