"""aiohttp's side of a connection, with bounds of ours on what comes before the 101.

Rules: a server has so many bytes and so many interim answers for its answer, however
it cuts them, and of what follows a refusal no more is read than is kept; bytes go to
aiohttp's parser in small pieces, so that one read never holds the loop up; the first
of them are kept, because they say what it was that answered.
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


#: How many bytes the head of an answer may have, interim answers included (browsers
#: take as many), and how many headers.
MAX_HEAD: Final = 256 * 1024
MAX_HEADERS: Final = 1000
#: How many interim answers (1xx) may come before the answer.
MAX_INTERIM: Final = 16
#: How many bytes that follow the head of a refusal are read; its first KiB is kept.
MAX_BODY: Final = 32 * 1024
#: How many bytes aiohttp's parser is given at a time.
_PIECE: Final = 16 * 1024
#: The end of a head, as a lenient parser takes it, and its size but for one byte. Lines
#: that are empty from the beginning are none.
_END: Final = re.compile(rb"[^\r\n]\r?\n\r?\n")
_END_SIZE: Final = 4
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL: Final = 200


@attrs.frozen
class Heard:
    """What came of an answer that aiohttp could make nothing of."""

    first: bytes
    size: int
    excess: str | None
    of_proxy: bool


class MeteredHandler(ResponseHandler):
    """Reads one answer within bounds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        #: The first bytes of the answer, and how many came in all.
        self.first = b""
        self.size = 0
        #: In words, of what there was too much; ``None`` when there was not.
        self.excess: str | None = None
        #: Whether it is a proxy that answers: aiohttp's own CONNECT.
        self.of_proxy = False
        #: What must live as long as the connection.
        self.keeps: object = None
        #: The last bytes that the parser was given of a head.
        self._last = b""
        self._metering = False
        self._interim = 0
        #: How many bytes had come when the answer's head was complete.
        self._head: int | None = None
        heard_by_caller(self)

    def set_response_params(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """Begin to read an answer: aiohttp says how, we say how much."""
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
        """Take what came, up to the bound."""
        # No data is how aiohttp resumes. What comes before there is a parser, it
        # keeps, and gives again; what follows the 101 is kept for the wire.
        if not data or not self._metering or self.upgraded:
            super().data_received(data)
            return
        behind = self._metered(data)
        if behind:
            super().data_received(behind)

    def _metered(self, data: bytes) -> bytes:
        """Parse what came, up to the bound; return what came behind a 101."""
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
        """Return what the parser gets next: of a head to its end, and to the bound.

        What is wrong with a body must not undo a head that was complete, so that the
        head is parsed by itself, however the two were cut.
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
        """Return what came, without the connection."""
        return Heard(self.first, self.size, self.excess, self.of_proxy)

    def _has_enough(self) -> bool:
        """Whether nothing more is to be read; ends the connection then."""
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


def meter(connector: Any) -> None:  # noqa: ANN401 - it is reached into: no public attribute says what to make
    """Have a connector of ours read answers within the bounds."""
    connector._factory = partial(MeteredHandler, connector._loop)  # noqa: SLF001 - test_seam.py pins both


def odd_answer(
    heard: Heard,
    failure: Exception,
    endpoint: Endpoint,
    headers: Sequence[tuple[str, str]],
) -> ConnectFailed | None:
    """Return the error for an answer that is none, ``None`` if it is not that.

    Args:
        heard: What came.
        failure: What aiohttp raised about it.
        endpoint: Where the dial led.
        headers: What was sent, which must not be shown.
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


#: What aiohttp raises that is not about the bytes of an answer.
_SAID_OTHERWISE: Final = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)


def _told(heard: Heard, failure: Exception, request: Sequence[str]) -> tuple[str, str]:
    """Return what happened, and a remedy with a space before it."""
    excess = heard.excess
    if excess is None and _has_too_many_headers(failure):
        excess = f"more than {MAX_HEADERS:,} headers"
    if excess is not None:
        return f"answered the handshake with {excess}", ""
    quoted = shown(heard.first, request)
    first = "" if quoted is None else f", first {quoted}"
    known = protocol_of(heard.first)
    if known is not None:
        # What it repeats of our own request is never shown.
        came = "" if quoted is None else f" ({quoted})"
        return f"answered the handshake with {known.name}{came}", f" {known.hint}"
    cut = isinstance(failure, aiohttp.ServerDisconnectedError | OSError)
    if cut and is_http(heard.first):
        return (
            "ended the connection in the middle of its answer to the handshake: "
            f"{heard.size:,} bytes came{first}"
        ), ""
    what = "malformed HTTP" if is_http(heard.first) else "something that is not HTTP"
    return (
        f"answered the handshake with {what}: {heard.size:,} bytes came{first}"
    ), " Check the host and the port of the URL."


def _has_too_many_headers(failure: Exception) -> bool:
    message = getattr(failure, "message", "")
    return isinstance(message, str) and message.startswith("Too many headers")
