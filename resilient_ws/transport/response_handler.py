"""aiohttp's response handler, with our own limits on the server's answer.

Rules: the head of an answer, its interim answers and the body of a rejection are
limited, however the server splits them into packets. aiohttp's parser gets small
pieces, so that one read never holds up the loop.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from resilient_ws.policy.foreign_protocols import FIRST_BYTES
from resilient_ws.transport.current_dial import PartialAnswer, current_dial


if TYPE_CHECKING:
    import asyncio

    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader


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


class LimitedResponseHandler(ResponseHandler):
    """Reads one answer within the limits, and notes it for the current dial."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # A record of its own, so that the dial does not hold the connection.
        self._answer = PartialAnswer()
        #: The last bytes of the head that were given to the parser.
        self._last = b""
        self._limiting = False
        self._interim = 0
        #: The size of the answer when its head was complete.
        self._head: int | None = None
        self._kept: object = None
        current_dial().reading(self._answer)

    def keep(self, thing: object) -> None:
        """Keep an object alive for as long as the connection."""
        self._kept = thing

    def set_response_params(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """Begin to read an answer, with our limits in place of aiohttp's."""
        self._limiting = True
        # Only the CONNECT that aiohttp sends to a proxy asks for this.
        self._answer.of_proxy = bool(options.get("read_until_eof"))
        options.update(
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
        )
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, up to the limit."""
        # aiohttp resumes with empty data. It passes in again what it received before it
        # had a parser, and keeps for the wire what it receives after the 101.
        if not data or not self._limiting or self.upgraded:
            super().data_received(data)
            return
        behind = self._parsed(data)
        if behind:
            super().data_received(behind)

    def _parsed(self, data: bytes) -> bytes:
        """Parse bytes up to the limit; return those that follow a 101."""
        answer = self._answer
        answer.first += data[: FIRST_BYTES - len(answer.first)]
        start = 0
        while start < len(data):
            if self.upgraded:
                return data[start:]
            if self._has_enough():
                break
            piece = self._piece(data, start)
            start += len(piece)
            answer.size += len(piece)
            super().data_received(piece)
        return b""

    def _piece(self, data: bytes, start: int) -> bytes:
        """Return the next piece for the parser, which never reaches past a head's end.

        The head is parsed by itself, however the packets were cut, because an error in
        the body must not discard a complete head.
        """
        if self._head is not None:
            return data[start : start + _PIECE]
        piece = data[start : start + min(_PIECE, MAX_HEAD - self._answer.size)]
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
            self._head = self._answer.size
        super().feed_data(data, size)

    def _has_enough(self) -> bool:
        """Return whether to stop parsing; abort the connection if so."""
        answer = self._answer
        if answer.excess is not None:
            return True
        if self._head is None:
            if answer.size < MAX_HEAD:
                return False
            self._refuse(f"more than {MAX_HEAD:,} bytes of headers")
            return True
        if answer.size - self._head < MAX_BODY:
            return False
        if self.transport is not None:
            self.transport.abort()
        return True

    def _refuse(self, excess: str) -> None:
        self._answer.excess = excess
        self.set_exception(aiohttp.ServerDisconnectedError())
        if self.transport is not None:
            self.transport.abort()


def limit_answers(connector: Any) -> None:  # noqa: ANN401 - has no public attribute for its protocol factory
    """Make a connector of ours read answers within the limits."""
    connector._factory = partial(LimitedResponseHandler, connector._loop)  # noqa: SLF001 - test_seam.py pins both
