"""aiohttp's side of a connection, with our own limits on the server's answer.

Rules: the head of an answer, its interim answers and the body of a rejection are
limited, however the server splits them into packets. aiohttp's parser gets small
pieces, so that one read never holds up the loop. The first bytes are kept, because they
show what kind of server answered.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler

from resilient_ws.errors import ConnectFailed
from resilient_ws.policy.first_words import (
    KEPT,
    is_http,
    protocol_of,
    shown,
    words_of,
)
from resilient_ws.transport.at_hand import heard_by_caller
from resilient_ws.transport.tcp import errno_of


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

    from resilient_ws.policy.url import Endpoint


#: The most bytes in the head of an answer, interim answers included (the limit that
#: browsers have), and the most headers.
MAX_HEAD: Final = 256 * 1024
MAX_HEADERS: Final = 1000
#: The most interim answers (1xx) before the final one.
MAX_INTERIM: Final = 16
#: The most bytes read after the head of a rejection; the first KiB is kept.
MAX_BODY: Final = 32 * 1024
#: The most bytes given to aiohttp's parser at a time.
_PIECE: Final = 16 * 1024
#: The end of a head, as a lenient parser sees it, and its largest size less one byte.
#: Empty lines before the head do not count.
_END: Final = re.compile(rb"[^\r\n]\r?\n\r?\n")
_END_SIZE: Final = 4
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL: Final = 200


@attrs.frozen
class Heard:
    """What was received of an answer that aiohttp could not use."""

    first: bytes
    size: int
    excess: str | None
    of_proxy: bool


class MeteredHandler(ResponseHandler):
    """Reads one answer within the limits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        #: The first bytes of the answer, and how many came in all.
        self.first = b""
        self.size = 0
        #: The limit that was exceeded, in words; ``None`` if none was.
        self.excess: str | None = None
        #: Whether a proxy answers here, to a CONNECT that aiohttp sent.
        self.of_proxy = False
        #: An object that must live as long as the connection.
        self.keeps: object = None
        #: The last bytes of the head that were given to the parser.
        self._last = b""
        self._metering = False
        self._interim = 0
        #: How many bytes had come when the answer's head was complete.
        self._head: int | None = None
        heard_by_caller(self)

    def set_response_params(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """Begin to read an answer, with our limits in place of aiohttp's."""
        self._metering = True
        self.of_proxy = bool(options.get("read_until_eof"))
        options.update(
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
        )
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, up to the limit."""
        # aiohttp resumes with empty data. Bytes that come before it has a parser it
        # passes in again later, and those after the 101 it keeps for the wire.
        if not data or not self._metering or self.upgraded:
            super().data_received(data)
            return
        behind = self._metered(data)
        if behind:
            super().data_received(behind)

    def _metered(self, data: bytes) -> bytes:
        """Parse bytes up to the limit; return those that follow a 101."""
        self.first += data[: KEPT - len(self.first)]
        start = 0
        while start < len(data):
            if self.upgraded:
                return data[start:]
            if self._has_enough():
                break
            piece = self._piece(data, start)
            start += len(piece)
            self.size += len(piece)
            super().data_received(piece)
        return b""

    def _piece(self, data: bytes, start: int) -> bytes:
        """Return the next piece for the parser, which never reaches past a head's end.

        The head is parsed by itself, however the packets were cut, because an error in
        the body must not discard a complete head.
        """
        if self._head is not None:
            return data[start : start + _PIECE]
        piece = data[start : start + min(_PIECE, MAX_HEAD - self.size)]
        with_last = self._last + piece
        end = _END.search(with_last)
        if end is None:
            self._last = with_last[-_END_SIZE:]
            return piece
        piece = piece[: end.end() - len(self._last)]
        self._last = b""
        return piece

    def feed_data(
        self, data: tuple[RawResponseMessage, StreamReader], size: int = 0
    ) -> None:
        """Take an answer from the parser."""
        code = data[0].code
        if code < _FIRST_FINAL and code != _SWITCHING_PROTOCOLS:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._refuse(f"more than {MAX_INTERIM} interim answers (1xx)")
                return
        else:
            self._head = self.size
        super().feed_data(data, size)

    def heard(self) -> Heard:
        """Return what was received, in a record that does not hold the connection."""
        return Heard(self.first, self.size, self.excess, self.of_proxy)

    def _has_enough(self) -> bool:
        """Return whether to stop parsing; abort the connection if so."""
        if self.excess is not None:
            return True
        if self._head is None:
            if self.size < MAX_HEAD:
                return False
            self._refuse(f"more than {MAX_HEAD:,} bytes of headers")
            return True
        if self.size - self._head < MAX_BODY:
            return False
        if self.transport is not None:
            self.transport.abort()
        return True

    def _refuse(self, excess: str) -> None:
        self.excess = excess
        self.set_exception(aiohttp.ServerDisconnectedError())
        if self.transport is not None:
            self.transport.abort()


def meter(connector: Any) -> None:  # noqa: ANN401 - has no public attribute for its protocol factory
    """Make a connector of ours read answers within the limits."""
    connector._factory = partial(MeteredHandler, connector._loop)  # noqa: SLF001 - test_seam.py pins both


def odd_answer(
    heard: Heard,
    failure: Exception,
    endpoint: Endpoint,
    headers: Sequence[tuple[str, str]],
) -> ConnectFailed | None:
    """Return the error for an unusable answer, ``None`` for any other failure.

    Args:
        heard: What was received.
        failure: What aiohttp raised about it.
        endpoint: The endpoint that was dialled.
        headers: The headers of the request, which must not be shown.
    """
    if not heard.size or isinstance(failure, _SAID_OTHERWISE):
        return None
    if not isinstance(failure, aiohttp.ClientError | OSError):
        return None
    who = f"The proxy on the way to {endpoint}" if heard.of_proxy else str(endpoint)
    text, hint = _told(heard, failure, words_of(endpoint, headers))
    if heard.of_proxy:
        hint = " Check the scheme and the port of the proxy URL."
    return ConnectFailed(
        f"{who} {text}.{hint}",
        stage="proxy" if heard.of_proxy else "handshake",
        errno=errno_of(failure),
    )


#: Errors of aiohttp that are not about the bytes of an answer.
_SAID_OTHERWISE: Final = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)


def _told(heard: Heard, failure: Exception, request: Sequence[str]) -> tuple[str, str]:
    """Return what happened, and a hint with a leading space."""
    excess = heard.excess
    if excess is None and _has_too_many_headers(failure):
        excess = f"more than {MAX_HEADERS:,} headers"
    if excess is not None:
        return f"answered the handshake with {excess}", ""
    quoted = shown(heard.first, request)
    first = "" if quoted is None else f" (first: {quoted})"
    known = protocol_of(heard.first)
    if known is not None:
        # Nothing is quoted if the answer repeats a part of our request.
        came = "" if quoted is None else f" ({quoted})"
        return f"answered the handshake with {known.name}{came}", f" {known.hint}"
    cut = isinstance(failure, aiohttp.ServerDisconnectedError | OSError)
    if cut and is_http(heard.first):
        return (
            "ended the connection in the middle of its answer to the handshake: "
            f"{heard.size:,} bytes received{first}"
        ), ""
    what = "malformed HTTP" if is_http(heard.first) else "something that is not HTTP"
    return (
        f"answered the handshake with {what}: {heard.size:,} bytes received{first}"
    ), " Check the host and the port of the URL."


def _has_too_many_headers(failure: Exception) -> bool:
    message = getattr(failure, "message", "")
    return isinstance(message, str) and message.startswith("Too many headers")
