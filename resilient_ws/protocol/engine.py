"""The client's side of one WebSocket connection, without I/O (RFC 6455).

Rules. What is received goes through ``receiver``. What is sent is made here, as bytes
that the owner must write in the order it asked for them. Nothing is sent after our
close frame: every later request returns ``b""``. The side whose close frame came first
began the closing handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    TEXT,
    KeyPool,
    encode_frame,
    frame_head,
    mask,
)
from resilient_ws.protocol.receiver import Receiver
from resilient_ws.protocol.walk import frame, frames


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.protocol.deflate import DeflateParameters
    from resilient_ws.protocol.frames import Mask


class Engine:
    """Turns received bytes into messages, and messages into bytes to send.

    Args:
        max_message_size: The most payload bytes of one received message, all fragments
            together (default 4 MiB); ``None`` means no limit.
        keys: Where masking keys come from. Pass a pool to share it with other engines;
            by default the engine has one of its own.
        mask: Masks a payload. Pass a compiled routine if there is one.

    Attributes:
        receiver: Parses what is received.
        close_sent: Our close frame, once there is one.
    """

    __slots__ = (
        "_deflater",
        "_mask",
        "_peer_began",
        "_take_key",
        "close_sent",
        "receiver",
    )

    def __init__(
        self,
        *,
        max_message_size: int | None = 4 * 1024 * 1024,
        keys: KeyPool | None = None,
        mask: Mask = mask,
    ) -> None:
        self.receiver = Receiver(max_message_size=max_message_size)
        self.close_sent: CloseFrame | None = None
        self._take_key = (KeyPool() if keys is None else keys).take
        self._mask = mask
        self._peer_began = False
        self._deflater: Deflater | None = None

    def enable_compression(self, agreed: DeflateParameters) -> None:
        """Compress messages as agreed; call this before any byte is received or sent.

        Each direction uses memory for it only from its first compressed message on.
        """
        self.receiver.enable_compression(
            bits=agreed.peer_bits, takeover=agreed.peer_takeover
        )
        self._deflater = Deflater(
            bits=agreed.own_bits, limit=agreed.own_limit, takeover=agreed.own_takeover
        )

    def message(self, item: str | bytes | bytearray | memoryview) -> bytes:
        """Return the frame of one message: text from ``str``, binary from the rest."""
        if self.close_sent is not None:
            return b""
        if self._deflater is None:
            return frame(item, self._take_key, self._mask)
        return self._deflated(item, self._deflater)

    def messages(self, items: Iterable[str | bytes | bytearray | memoryview]) -> bytes:
        """Return the frames of several messages, joined for one write."""
        if self.close_sent is not None:
            return b""
        if self._deflater is None:
            return frames(items, self._take_key, self._mask)
        return b"".join([self._deflated(item, self._deflater) for item in items])

    def ping(self, payload: bytes = b"") -> bytes:
        """Return a ping frame.

        Raises:
            ValueError: The payload is above 125 bytes.
        """
        return self._control_frame(FIN | PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """Return a pong frame, which may be unsolicited.

        Raises:
            ValueError: The payload is above 125 bytes.
        """
        return self._control_frame(FIN | PONG, payload)

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
        closing = self._control_frame(FIN | CLOSE, payload)
        self._peer_began = self.receiver.close_received is not None
        self.close_sent = CloseFrame(
            code=NO_CODE if code is None else code, reason=reason
        )
        return closing

    def close_reply(self) -> bytes:
        """Return the echo of the received close frame (RFC 6455 section 5.5.1)."""
        received = self.receiver.close_received
        if received is None:
            return b""
        code = None if received.code == NO_CODE else received.code
        return self.close(code, received.reason)

    def record(self) -> Close | None:
        """Return how the closing handshake went, ``None`` when there was none."""
        received = self.receiver.close_received
        peer_began = self.close_sent is None or self._peer_began
        first = received if peer_began else self.close_sent
        if first is None:
            return None
        return Close(
            code=first.code,
            reason=first.reason,
            initiator="peer" if peer_began else "us",
            clean=self.close_sent is not None and received is not None,
            sent=self.close_sent,
            received=received,
        )

    def _control_frame(self, first: int, payload: bytes) -> bytes:
        """Return a control frame, given its first byte."""
        if len(payload) > MAX_SHORT:
            raise ValueError(
                f"payload is {len(payload)} bytes: a control frame has room for 125"
            )
        if self.close_sent is not None:
            return b""
        return encode_frame(first, payload, self._take_key())

    def _deflated(
        self, item: str | bytes | bytearray | memoryview, deflater: Deflater
    ) -> bytes:
        """Return the frame of one message, compressed if it is large enough."""
        first, payload = (
            (TEXT, item.encode()) if isinstance(item, str) else (BINARY, bytes(item))
        )
        if len(payload) < MIN_SIZE:
            return frame(item, self._take_key, self._mask)
        squeezed = bytearray(deflater.deflate(payload))
        head, key = frame_head(FIN | RSV1 | first, len(squeezed)), self._take_key()
        self._mask(key, squeezed)
        return b"".join((head, key, squeezed))
