"""The pure protocol, tested without a socket; and a server's frames, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterable


def server_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
) -> bytes:
    """Return an unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """Return a server's close frame."""
    return server_frame(8, code.to_bytes(2, "big") + reason)


def each_byte(data: bytes) -> Iterable[bytes]:
    """Return the bytes as chunks of one."""
    return (data[at : at + 1] for at in range(len(data)))


def unmask(frame: bytes) -> tuple[int, bytes, int]:
    """Take one client frame apart: its first byte, its payload, where it ends."""
    assert frame[1] & 0x80, "a client masks"
    size, pos = frame[1] & 0x7F, 2
    if size > 125:
        pos += 2 if size == 126 else 8
        size = int.from_bytes(frame[2:pos], "big")
    key, body = frame[pos : pos + 4], frame[pos + 4 : pos + 4 + size]
    assert len(body) == size
    plain = bytes(byte ^ key[i % 4] for i, byte in enumerate(body))
    return frame[0], plain, pos + 4 + size
