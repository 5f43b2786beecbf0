"""What one client sends to a ScriptedServer, from its request to its last frame.

Rules: The request comes first, and nothing may follow it before the handshake was
accepted. What is yielded has been judged. After a misconduct the stream is unusable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.testing.frames import ClientFrames, Misconduct
from resilient_ws.testing.http import END_OF_HEAD, Request


if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes. A longer request is a misconduct.
_MAX_HEAD: Final = 64 * 1024
_NO_REQUEST: Final = Request("", "", "", {})


class ClientStream:
    """Parses and judges the bytes of one client."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._frames: ClientFrames | None = None
        #: The request. It is empty until one has come.
        self.request = _NO_REQUEST

    def accept(self, extensions: str) -> None:
        """Expect frames from now on.

        Args:
            extensions: The ``Sec-WebSocket-Extensions`` that the server answers with.
        """
        self._frames = ClientFrames(extensions)

    def feed(self, data: bytes) -> Iterator[Request | tuple[int, bytes]]:
        """Yield the request, then the opcode and payload of each message or control.

        Raises:
            Misconduct: The client broke a rule.
        """
        if self.request is _NO_REQUEST:
            yield from self._read_request(data)
        elif self._frames is None:
            raise Misconduct("sent more before its handshake was answered")
        else:
            yield from self._frames.feed(data)

    def _read_request(self, data: bytes) -> Iterator[Request]:
        self._head += data
        head, end, rest = bytes(self._head).partition(END_OF_HEAD)
        if not end:
            if len(self._head) > _MAX_HEAD:
                raise Misconduct("sent a request without an end")
            return
        self.request = Request.parse(head)
        self.request.check()
        if rest:
            raise Misconduct("sent more before its handshake was answered")
        yield self.request
