"""The client's side of one WebSocket connection, without I/O (RFC 6455).

Rules. :class:`Inbound` handles what is received. What is sent is made here, as bytes
that the owner must write in the order it asked for them. Nothing is sent after our
close frame: every later request returns ``b""``. The side whose close frame came first
began the closing handshake.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.close import NO_CODE, Close, CloseFrame, check_close
from resilient_ws.protocol.deflate import MIN_SIZE, Deflater
from resilient_ws.protocol.frames import (
    BINARY,
    CLOSE,
    FIN,
    MAX_SHORT,
    PING,
    PONG,
    RSV1,
    SHORT_HEADS,
    TEXT,
    KeyPool,
    encode_frame,
    frame_head,
    mask,
)
from resilient_ws.protocol.inbound import Inbound
from resilient_ws.protocol.inflate import Inflater
from resilient_ws.protocol.violation import Violation


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.protocol.deflate import DeflateParameters
    from resilient_ws.protocol.frames import Mask


__all__ = ["Engine", "Violation"]

_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY


class Engine(Inbound):
    """Turns received bytes into messages, and messages into bytes to send.

    Args:
        max_message_size: The most payload bytes of one message, all fragments
            together (default 4 MiB); ``None`` means no limit.
        keys: Where masking keys come from; a pool that others draw from too may be
            given, by default it is one of its own.
        mask: Masks a payload; the owner may know a faster way than Python's.

    Attributes:
        close_sent: Our close frame, once there is one.
    """

    __slots__ = ("_deflater", "_mask", "_peer_began", "_take_key", "close_sent")

    def __init__(
        self,
        *,
        max_message_size: int | None = 4 * 1024 * 1024,
        keys: KeyPool | None = None,
        mask: Mask = mask,
    ) -> None:
        super().__init__(max_message_size=max_message_size)
        self.close_sent: CloseFrame | None = None
        self._take_key = (KeyPool() if keys is None else keys).take
        self._mask = mask
        self._peer_began = False
        self._deflater: Deflater | None = None

    def use(self, agreed: DeflateParameters) -> None:
        """Compress messages as agreed; call this before any byte is received or sent.

        Each direction uses memory for it only from its first compressed message on.
        """
        self._assembly.inflater = Inflater(
            bits=agreed.peer_bits,
            takeover=agreed.peer_takeover,
            limit=self._limit,
        )
        self._deflater = Deflater(
            bits=agreed.own_bits,
            limit=agreed.own_limit,
            takeover=agreed.own_takeover,
        )

    def message(self, item: str | bytes | bytearray | memoryview) -> bytes:
        """Return the frame of one message: text from ``str``, binary from the rest."""
        return b"".join(self._parts(item))

    def messages(self, items: Iterable[str | bytes | bytearray | memoryview]) -> bytes:
        """Return the frames of several messages, joined for one write."""
        return b"".join(chain.from_iterable(map(self._parts, items)))

    def _parts(
        self, item: str | bytes | bytearray | memoryview
    ) -> tuple[bytes | bytearray, ...]:
        """Return the frame of one message, not joined yet; nothing after our close."""
        if self.close_sent is not None:
            return ()
        data: bytes | bytearray
        if isinstance(item, str):
            first, data = _WHOLE_TEXT, item.encode()
        else:
            first = _WHOLE_BINARY
            data = item.tobytes() if isinstance(item, memoryview) else item
        size = len(data)
        if size <= MAX_SHORT:
            head = SHORT_HEADS[first][size]
        else:
            if self._deflater is not None and size >= MIN_SIZE:
                first, data = first | RSV1, self._deflater.deflate(data)
                size = len(data)
            head = frame_head(first, size)
        key, payload = self._take_key(), bytearray(data)
        self._mask(key, payload)
        return head, key, payload

    def ping(self, payload: bytes = b"") -> bytes:
        """Return a ping frame.

        Raises:
            ValueError: The payload is above 125 bytes.
        """
        return self._short(PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """Return a pong frame, which may be unsolicited.

        Raises:
            ValueError: The payload is above 125 bytes.
        """
        return self._short(PONG, payload)

    def close(self, code: int | None = 1000, reason: str = "") -> bytes:
        """Return our close frame, the last thing to be sent; ``b""`` after another.

        Args:
            code: The close code; ``None`` sends none.
            reason: At most 123 bytes of UTF-8.

        Raises:
            ValueError: The code may not be sent, or the reason does not fit.
        """
        if self.close_sent is not None:
            return b""
        if code is not None:
            payload = check_close(code, reason)
        elif reason:
            raise ValueError(
                "reason needs a code beside it: pass code=1000 for a normal end"
            )
        else:
            payload = b""
        frame = self._short(CLOSE, payload)
        self._peer_began = self.close_received is not None
        self.close_sent = CloseFrame(
            code=NO_CODE if code is None else code, reason=reason
        )
        return frame

    def close_reply(self) -> bytes:
        """Return the echo of the received close frame (RFC 6455 section 5.5.1)."""
        received = self.close_received
        if received is None:
            return b""
        code = None if received.code == NO_CODE else received.code
        return self.close(code, received.reason)

    def record(self) -> Close | None:
        """Return how the closing handshake went, ``None`` when there was none."""
        peer_began = self.close_sent is None or self._peer_began
        first = self.close_received if peer_began else self.close_sent
        if first is None:
            return None
        return Close(
            code=first.code,
            reason=first.reason,
            initiator="peer" if peer_began else "us",
            clean=self.close_sent is not None and self.close_received is not None,
            sent=self.close_sent,
            received=self.close_received,
        )

    def _short(self, opcode: int, payload: bytes) -> bytes:
        """Return a control frame."""
        if len(payload) > MAX_SHORT:
            raise ValueError(
                f"payload is {len(payload)} bytes: a control frame has room for 125"
            )
        if self.close_sent is not None:
            return b""
        return encode_frame(opcode, payload, self._take_key())
