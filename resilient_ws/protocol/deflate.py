"""Negotiates compression, and compresses our messages (RFC 7692).

Rules. Every handshake sends the ``Offer``. The server's answer is checked once, and one
that does not match the offer, or that zlib cannot honour, fails the handshake. A zlib
stream is opened for the first compressed message, and discarded after each message if
context takeover is off. ``inflate`` handles the server's messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from resilient_ws.protocol.handshake import HandshakeFailure
from resilient_ws.protocol.inflate import MIN_ZLIB_BITS, TAIL
from resilient_ws.protocol.zlibs import ZLIB


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.protocol.zlibs import Compress


NAME: Final = "permessage-deflate"

#: Messages below this many bytes are sent plain: they hardly shrink.
MIN_SIZE: Final = 256

#: The bits of the smallest and the largest window that RFC 7692 allows.
_MIN_BITS: Final = 8
_MAX_BITS: Final = 15
#: zlib's memory for deflating: 16 KiB at this level, 128 KiB by default. Messages of
#: common sizes come out just as small.
_MEMORY_LEVEL: Final = 5

#: Ends what was compressed so far at a whole byte: the same number in every zlib.
_Z_SYNC_FLUSH: Final = 2

#: Messages of at least this many bytes are large. A small window makes zlib take a
#: third longer for them, so the first one justifies the memory of a larger window.
_LARGE: Final = 4 * 1024

_NUMBER: Final = re.compile(r"[1-9][0-9]?", re.ASCII)


def _is_window(low: int) -> Any:  # noqa: ANN401 - what attrs calls a validator
    def check(_: object, field: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None and not low <= value <= _MAX_BITS:
            raise ValueError(
                f"{field.name} must be from {low} to {_MAX_BITS}, not {value}"
            )

    return check


@attrs.frozen(kw_only=True)
class DeflateParameters:
    """The parameters that both sides agreed on, for both directions.

    Attributes:
        own_bits: The size of our window, as a power of two.
        own_limit: The largest window that the server lets us use, likewise.
        own_takeover: Whether our window lives on from message to message.
        peer_bits: The size of the server's window, as a power of two.
        peer_takeover: Whether the server's window may live on.
    """

    own_bits: int = _MAX_BITS
    own_limit: int = _MAX_BITS
    own_takeover: bool = True
    peer_bits: int = _MAX_BITS
    peer_takeover: bool = True


@attrs.frozen(kw_only=True)
class Offer:
    """The parameters that a client offers (RFC 7692 section 7.1).

    Attributes:
        own_bits: The window that we use until there is a large message, as a power of
            two, 9 to 15. The server may ask for a smaller one.
        own_takeover: Whether our window may live on from message to message.
        peer_bits: The largest window that the server may use, 8 to 15; ``None`` leaves
            it to the server, because one that cannot choose would have to decline.
        peer_takeover: Whether the server's window may live on.
    """

    own_bits: int = attrs.field(default=12, validator=_is_window(MIN_ZLIB_BITS))
    own_takeover: bool = True
    peer_bits: int | None = attrs.field(default=None, validator=_is_window(_MIN_BITS))
    peer_takeover: bool = True

    def parameters(self) -> dict[str, str | None]:
        """Return the offer as it stands in the handshake."""
        # Without a value, because some servers decline one. The server may then set a
        # size, and we use the smaller of its size and ours.
        parameters: dict[str, str | None] = {"client_max_window_bits": None}
        if self.peer_bits is not None:
            parameters["server_max_window_bits"] = str(self.peer_bits)
        if not self.peer_takeover:
            parameters["server_no_context_takeover"] = None
        if not self.own_takeover:
            parameters["client_no_context_takeover"] = None
        return parameters

    def accept(self, parameters: Mapping[str, str | None]) -> DeflateParameters:
        """Return the agreed parameters, given those of the server's answer.

        Raises:
            HandshakeFailure: The answer does not match the offer, or zlib cannot
                honour it.
        """
        left = dict(parameters)
        own_takeover = self.own_takeover
        if _has_flag(left, "client_no_context_takeover"):
            own_takeover = False
        peer_takeover = not _has_flag(left, "server_no_context_takeover")
        if peer_takeover and not self.peer_takeover:
            raise _refused("server_no_context_takeover is missing from the answer")
        own_bits = _bits(left, "client_max_window_bits") or _MAX_BITS
        if own_bits < MIN_ZLIB_BITS:
            raise _refused("client_max_window_bits is 8, which zlib does not support")
        peer_bits = _bits(left, "server_max_window_bits")
        if self.peer_bits is not None and (
            peer_bits is None or peer_bits > self.peer_bits
        ):
            said = "missing" if peer_bits is None else peer_bits
            raise _refused(
                f"server_max_window_bits is {said}; {self.peer_bits} was asked for"
            )
        if left:
            raise _refused("unknown parameter {}", next(iter(left)))
        return DeflateParameters(
            own_bits=min(own_bits, self.own_bits),
            own_limit=own_bits,
            own_takeover=own_takeover,
            peer_bits=peer_bits or _MAX_BITS,
            peer_takeover=peer_takeover,
        )


def _has_flag(left: dict[str, str | None], name: str) -> bool:
    """Remove a parameter without a value; return whether the answer had it."""
    if name not in left:
        return False
    value = left.pop(name)
    if value is not None:
        raise _refused(f"{name} must not have a value, but has {{}}", value)
    return True


def _bits(left: dict[str, str | None], name: str) -> int | None:
    """Remove a window size; return it, or ``None`` if the answer had none."""
    if name not in left:
        return None
    value = left.pop(name)
    if value is None or not _NUMBER.fullmatch(value):
        raise _refused(f"{name} is {{}}, not a number from 8 to 15", value or "")
    bits = int(value)
    if not _MIN_BITS <= bits <= _MAX_BITS:
        raise _refused(f"{name} is {bits}, not from 8 to 15")
    return bits


def _refused(what: str, said: str | None = None) -> HandshakeFailure:
    return HandshakeFailure(f"the server answered {NAME} wrongly: {what}", said)


class Deflater:
    """Compresses our messages, in order.

    Args:
        bits: The size of the window, as a power of two.
        limit: Its size from the first large message on, likewise.
        takeover: Whether the window lives on from message to message.
    """

    __slots__ = ("_bits", "_limit", "_stream", "_takeover")

    def __init__(self, *, bits: int, limit: int, takeover: bool) -> None:
        self._bits = bits
        self._limit = limit
        self._takeover = takeover
        self._stream: Compress | None = None

    def deflate(self, data: bytes | bytearray) -> bytes:
        """Return the payload of one compressed message (RFC 7692 section 7.2.1)."""
        if len(data) >= _LARGE and self._bits < self._limit:
            # The server has had a window of this size from the beginning.
            self._bits, self._stream = self._limit, None
        stream = self._stream
        if stream is None:
            stream = ZLIB.compressobj(
                ZLIB.level, wbits=-self._bits, memLevel=_MEMORY_LEVEL
            )
        if self._takeover:
            self._stream = stream
        squeezed = stream.compress(data) + stream.flush(_Z_SYNC_FLUSH)
        return squeezed[: -len(TAIL)]
