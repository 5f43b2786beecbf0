"""WebSocket frames (RFC 6455, section 5): write a server's, parse and judge a client's.

This module shares no code with the library's own engine, so that a mistake in one
cannot hide in the other. Whatever a client must not do raises :class:`Misconduct`.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Iterator


CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

#: Bytes before a length of more than 7 bits, the masking key or the payload.
_HEAD: Final = 2
#: What the 7 bits of a length say when 16 or 64 bits follow.
_IS_16_BIT: Final = 126
_IS_64_BIT: Final = 127
#: Bytes of payload that a control frame may have.
_MAX_CONTROL: Final = 125
_DATA: Final = (CONTINUATION, TEXT, BINARY)
_CONTROL: Final = (CLOSE, PING, PONG)
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_PRIVATE_CODES: Final = range(3000, 5000)
_DEFLATE: Final = "permessage-deflate"
#: What a compressor leaves out at the end of each message (RFC 7692, section 7.2.1).
_DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"


class Misconduct(AssertionError):
    """A client has broken a rule of the protocol. The text says which."""


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
) -> bytes:
    """Return one unmasked frame, legal or not.

    Args:
        opcode: 0 to 15. This module has names for those that RFC 6455 defines.
        payload: Bytes of any length.
        fin: Whether the frame is the last of its message.
        rsv: The three reserved bits as a number; 4 is RSV1, "compressed".
    """
    first = fin << 7 | rsv << 4 | opcode
    size = len(payload)
    if size < _IS_16_BIT:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, _IS_16_BIT, size) + payload
    return struct.pack("!BBQ", first, _IS_64_BIT, size) + payload


def message(data: str | bytes) -> bytes:
    """Return the frame of one message: a ``str`` as text, ``bytes`` as binary."""
    if isinstance(data, str):
        return frame(TEXT, data.encode())
    return frame(BINARY, data)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Return a close frame, without a code if it is ``None``."""
    body = b"" if code is None else struct.pack("!H", code) + reason.encode()
    return frame(CLOSE, body)


class ClientFrames:
    """Parses and judges the frames that one client sends after its handshake.

    Args:
        extensions: The ``Sec-WebSocket-Extensions`` that the server answered with.
            A compressed message is a misconduct unless it names permessage-deflate.
    """

    def __init__(self, extensions: str = "") -> None:
        self._buffer = bytearray()
        self._opcode = CONTINUATION
        self._compressed = False
        self._parts = bytearray()
        self._key = b""
        self._closed = False
        self._may_deflate = _DEFLATE in extensions
        self._resets_context = "client_no_context_takeover" in extensions
        self._inflater = zlib.decompressobj(wbits=-15)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the opcode and payload of each complete message and control frame.

        Raises:
            Misconduct: The client broke a rule. Its later frames cannot be parsed.
        """
        self._buffer += data
        while (found := self._next_frame()) is not None:
            first, payload = found
            opcode = first & 0x0F
            if opcode in _CONTROL:
                _check_control(first, payload)
                self._closed = opcode == CLOSE
                yield opcode, payload
            else:
                yield from self._on_data(first, payload)

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take a frame off the buffer: its first byte, and its payload unmasked."""
        buffer = self._buffer
        if buffer and self._closed:
            raise Misconduct("sent something after its close frame (section 5.5.1)")
        if len(buffer) < _HEAD:
            return None
        first, second = buffer[:_HEAD]
        self._check_head(first, second)
        size, at = second & 0x7F, _HEAD
        if size >= _IS_16_BIT:
            at += 2 if size == _IS_16_BIT else 8
            if len(buffer) < at:
                return None
            size = _long_length(buffer[_HEAD:at])
        if len(buffer) < at + 4 + size:
            return None
        key = bytes(buffer[at : at + 4])
        self._check_key(key)
        payload = _unmasked(bytes(buffer[at + 4 : at + 4 + size]), key)
        del buffer[: at + 4 + size]
        return first, payload

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if not second & 0x80:
            raise Misconduct("sent a frame that is not masked (section 5.3)")
        if opcode not in _DATA and opcode not in _CONTROL:
            raise Misconduct(f"sent a frame with the unknown opcode {opcode}")
        begins = opcode in {TEXT, BINARY}
        allowed = 0x40 if begins and self._may_deflate else 0
        if first & 0x70 & ~allowed:
            raise Misconduct("set a reserved bit that has no meaning here")
        if begins and self._opcode:
            raise Misconduct("began a message inside another one")
        if opcode == CONTINUATION and not self._opcode:
            raise Misconduct("continued a message that it had not begun")

    def _check_key(self, key: bytes) -> None:
        # Random keys repeat once in four billion frames.
        if key == self._key:
            raise Misconduct("masked two frames in a row with the same key")
        self._key = key

    def _on_data(self, first: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        if opcode := first & 0x0F:
            self._opcode, self._compressed = opcode, bool(first & 0x40)
        self._parts += payload
        if not first & 0x80:
            return
        opcode, whole = self._opcode, bytes(self._parts)
        self._opcode = CONTINUATION
        self._parts.clear()
        if self._compressed:
            whole = self._inflated(whole)
        if opcode == TEXT:
            _check_text(whole, "a text message")
        yield opcode, whole

    def _inflated(self, data: bytes) -> bytes:
        try:
            plain = self._inflater.decompress(data + _DEFLATE_TAIL)
        except zlib.error as error:
            raise Misconduct(
                f"compressed a message wrongly (RFC 7692): {error}"
            ) from None
        if self._resets_context or self._inflater.eof:
            self._inflater = zlib.decompressobj(wbits=-15)
        return plain


def _long_length(encoded: bytearray) -> int:
    size = int.from_bytes(encoded)
    if size >> 63:
        raise Misconduct("sent a length with its highest bit set (section 5.2)")
    if size < (1 << 16 if len(encoded) > _HEAD else _IS_16_BIT):
        raise Misconduct(f"wrote the length {size} in more bytes than it needs")
    return size


def _unmasked(data: bytes, key: bytes) -> bytes:
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(keys)).to_bytes(len(data))


def _check_control(first: int, payload: bytes) -> None:
    if not first & 0x80:
        raise Misconduct("sent a control frame in fragments (section 5.4)")
    if len(payload) > _MAX_CONTROL:
        raise Misconduct(
            f"sent a control frame of {len(payload)} bytes; {_MAX_CONTROL} are allowed"
        )
    if first & 0x0F != CLOSE or not payload:
        return
    if len(payload) == 1:
        raise Misconduct("sent a close frame with half a code")
    code = int.from_bytes(payload[:2])
    if code not in _CLOSE_CODES and code not in _PRIVATE_CODES:
        raise Misconduct(f"closed with {code}, which may not be sent")
    _check_text(payload[2:], "a close reason")


def _check_text(data: bytes, what: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise Misconduct(f"sent {what} that is not UTF-8: {error.reason}") from None
