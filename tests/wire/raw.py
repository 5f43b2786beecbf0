"""A server that does what no library would let it: bytes, resets, silence.

It runs in threads with blocking sockets, so that it goes on while a test holds up the
event loop, and so that a script reads top to bottom.
"""

from __future__ import annotations

import array
import base64
import contextlib
import dataclasses
import fcntl
import hashlib
import socket
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from tests.servers.process import HOST


if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping


_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BACKLOG: Final = 64
TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it was on the wire; the names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]


def frame(payload: bytes | str, opcode: int = TEXT) -> bytes:
    """One whole frame of a server, unmasked."""
    data = payload.encode() if isinstance(payload, str) else payload
    if len(data) < 126:
        return struct.pack("!BB", 0x80 | opcode, len(data)) + data
    if len(data) < 2**16:
        return struct.pack("!BBH", 0x80 | opcode, 126, len(data)) + data
    return struct.pack("!BBQ", 0x80 | opcode, 127, len(data)) + data


def accept(key: str) -> str:
    """The answer to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class Peer:
    """One accepted connection, for a script to use."""

    def __init__(self, sock: socket.socket, server: RawServer) -> None:
        self.sock = sock
        self.request = Request("", "", {})
        self._server = server
        self._rest = b""

    def read_request(self) -> Request:
        """Read one request up to its empty line, and have the server keep it."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        self.request = Request(method, target, headers)
        self._server.requests.append(self.request)
        return self.request

    def answer(
        self, status: str, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        """Answer the request with something else than 101."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def accept(self, tail: bytes = b"", *, key: str | None = None) -> None:
        """Read a handshake and answer 101, in one segment with what follows it."""
        self.read_request()
        self.agree(tail, key=key)

    def agree(self, tail: bytes = b"", *, key: str | None = None) -> None:
        """Answer 101 to the handshake that was read; ``key`` instead of its own."""
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", self.accept_key if key is None else accept(key)),
        ]
        self.respond(headers, end=b"\r\n" + tail)

    @property
    def accept_key(self) -> str:
        """The right answer to the key of the request."""
        return accept(self.request.headers["sec-websocket-key"])

    def respond(
        self, headers: Iterable[tuple[str, str]], *, end: bytes = b"\r\n"
    ) -> None:
        """Answer 101 with these headers, right or wrong, in one segment."""
        lines = ["HTTP/1.1 101 Switching Protocols"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode() + end)

    def send(self, payload: bytes | str, opcode: int = TEXT) -> None:
        """Send one frame."""
        self.sock.sendall(frame(payload, opcode))

    def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        mask = int.from_bytes(self._exactly(4) * (size // 4 + 1), "big")
        padded = self._exactly(size).ljust(4 * (size // 4 + 1), b"\x00")
        plain = (int.from_bytes(padded, "big") ^ mask).to_bytes(len(padded), "big")
        return first & 0x0F, plain[:size]

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and wait for the answer."""
        self.send(code.to_bytes(2, "big") + reason.encode(), CLOSE)
        while self.receive()[0] != CLOSE:
            pass

    def echo(self) -> None:
        """Send messages back until the peer closes or is gone."""
        while True:
            opcode, payload = self.receive()
            self.send(payload, PONG if opcode == PING else opcode)
            if opcode == CLOSE:
                return

    def drain(self) -> None:
        """Read and forget until the peer is gone."""
        with contextlib.suppress(ConnectionError):
            while True:
                self._receive()

    def finish(self, within: float) -> None:
        """End the stream, and read what comes until the client ends it, too."""
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(within)
        self.drain()

    def reset(self) -> None:
        """End the connection with an RST, once all that was sent has arrived."""
        waiting, deadline = array.array("i", [1]), time.monotonic() + 5.0
        while waiting[0] and time.monotonic() < deadline:
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, waiting)
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += self._receive()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _receive(self) -> bytes:
        data = self.sock.recv(2**18)
        if not data:
            raise ConnectionError("the client is gone")
        return data


class RawServer:
    """Runs a script for each connection; ``requests`` holds what was asked.

    A script ends when its connection does: a loss is how most of them return.
    """

    def __init__(
        self,
        script: Callable[[Peer], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.accepted = 0
        self._script = script
        self._tls = tls
        self._bugs: list[Exception] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Where to dial it, without a path."""
        return f"{'ws' if self._tls is None else 'wss'}://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener.bind((HOST, 0))
        self._listener.listen(_BACKLOG)
        self._start(self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        # What blocks in a call on a socket hears of its shutdown, not of its close.
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._listener.close()
        assert not self._bugs, self._bugs

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.accepted += 1
                # Small frames must leave when they are sent, not when Nagle likes.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(sock)
                self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            self._script(Peer(sock, self))
        except OSError:
            pass
        except Exception as bug:  # noqa: BLE001 - shown at the end of the test
            self._bugs.append(bug)
        finally:
            sock.close()
