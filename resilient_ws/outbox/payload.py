"""What may be sent: ``str`` as text, everything with bytes as binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast


if TYPE_CHECKING:
    from resilient_ws.inbox import Message

Sendable = str | bytes | bytearray | memoryview


def payload_of(data: object) -> tuple[Message, int]:
    """Return what will be sent, free of the caller's buffer, and its payload size."""
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
