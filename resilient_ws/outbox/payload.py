"""What may be sent: ``str`` as text, everything with bytes as binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from resilient_ws.protocol.message import Message

Sendable = str | bytes | bytearray | memoryview

#: The most characters in an id, which stays in memory as long as its message.
MAX_MESSAGE_ID: Final = 1024


def payload_of(data: object) -> tuple[Message, int]:
    """Return the message, independent of the caller's buffer, and its payload size."""
    if isinstance(data, str):
        if data.isascii():
            return data, len(data)
        try:
            return data, len(data.encode())
        except UnicodeEncodeError:
            msg = "data holds a lone surrogate, which UTF-8 cannot carry; send bytes"
            raise ValueError(msg) from None
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, bytearray | memoryview):
        copy = bytes(cast("bytearray", data))
        return copy, len(copy)
    msg = (
        "data must be str (sent as text) or bytes, bytearray or memoryview (sent as "
        f"binary), not {type(data).__name__}; encode it first, with json.dumps say"
    )
    raise TypeError(msg)


def check_message_id(message_id: str) -> None:
    """Raise unless an id is a ``str`` that every store can keep."""
    require(message_id, str, "message_id", "a str")
    if len(message_id) > MAX_MESSAGE_ID:
        raise ValueError(
            f"message_id has {len(message_id)} characters, and at most "
            f"{MAX_MESSAGE_ID} are allowed; put longer data into the message, and use "
            "a hash of it as the id"
        )
    try:
        message_id.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "message_id holds a lone surrogate, which UTF-8 cannot carry"
        ) from None
