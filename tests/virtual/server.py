"""A WebSocket server in the loop of the test, that does what a script says.

A *script* is an ``async`` function that gets one :class:`Peer`, the server's side of
one connection, from the request on. It speaks RFC 6455 by hand and shares no code with
the library under test, so that a mistake in one cannot hide in the other.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Mapping


Script: TypeAlias = Callable[["Peer"], Awaitable[object]]

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

#: Seconds after which a connection that was accepted is open on the client's side.
SOON: Final = 0.01

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BACKLOG: Final = 4096
_IS_16_BIT: Final = 126
_IS_64_BIT: Final = 127


class Gone(Exception):
    """The client has ended the connection, or it was lost."""


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """One unmasked frame."""
    size = len(payload)
    if size < _IS_16_BIT:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, _IS_16_BIT, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, _IS_64_BIT, size)
    return head + payload


def message(data: str | bytes) -> bytes:
    """The frame of one message."""
    if isinstance(data, str):
        return frame(TEXT, data.encode())
    return frame(BINARY, data)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """A close frame; ``None`` for one without a code."""
    body = b"" if code is None else struct.pack("!H", code) + reason.encode()
    return frame(CLOSE, body)


class Peer(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._inbox: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._task: asyncio.Task[object] | None = None
        self.transport: asyncio.Transport
        self.path = ""
        self.headers: dict[str, str] = {}
        self.accepted = False
        #: Every message that came, taken or not.
        self.received: list[str | bytes] = []
        #: When each message came, by the loop's clock.
        self.received_at: list[float] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The client's close frame: its code and reason.
        self.close_received: tuple[int | None, str] | None = None
        self.answers_pings = True
        self.answers_close = True
        self.gone = False
        self.gone_at = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.note(self)

    def data_received(self, data: bytes) -> None:
        # The kernel would put its acknowledgement off for 40 ms of real time, which
        # in virtual time is as long as anything.
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._buffer += data
        if not self.headers:
            self._read_request()
        else:
            self._read_frames()

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self.gone_at = self._loop.time()
        self._news.set()

    # Reading.

    def _read_request(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self._buffer = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        self.path = first.split(" ")[1]
        fields = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in fields}
        self._server.requests.append((self._loop.time(), self.path))
        script = self._server.next_script()
        self._task = self._server.run(self._play(script))

    async def _play(self, script: Script) -> None:
        with contextlib.suppress(Gone):
            await script(self)
        if not self.gone:
            self.transport.close()

    def _read_frames(self) -> None:
        while (taken := _unmasked(self._buffer)) is not None:
            opcode, payload, self._buffer = taken
            self._on_frame(opcode, payload)

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            data = payload.decode() if opcode == TEXT else payload
            self.received.append(data)
            self.received_at.append(self._loop.time())
            self._inbox.append(data)
        elif opcode == PING:
            self.pings.append(payload)
            if self.answers_pings:
                self.write(frame(PONG, payload))
        elif opcode == PONG:
            self.pongs.append(payload)
        elif opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else None
            if self.close_received is None and self.answers_close:
                self.write(frame(CLOSE, payload))
                self.transport.close()
            self.close_received = (code, payload[2:].decode())
        self._news.set()

    # What a script does.

    def write(self, data: bytes) -> None:
        """Put raw bytes on the wire."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def accept(
        self, *, headers: Mapping[str, str] | None = None, tail: bytes = b""
    ) -> None:
        """Answer 101, with ``tail`` in the same packet."""
        key = self.headers["sec-websocket-key"].encode()
        token = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": token,
            **(headers or {}),
        }
        self.accepted = True
        self.write(_response(HTTPStatus.SWITCHING_PROTOCOLS, fields) + tail)
        self._read_frames()

    def refuse(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answer the handshake with something else than 101, and hang up."""
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        self.write(_response(HTTPStatus(status), fields) + body)
        self.transport.close()

    def send(self, *messages: str | bytes) -> None:
        """Send messages, in one write."""
        self.write(b"".join(map(message, messages)))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Begin the closing handshake; the client's answer comes by ``ended``."""
        self.answers_close = False
        self.write(close_frame(code, reason))

    def reset(self) -> None:
        """End with an RST, leaving nothing behind."""
        linger = struct.pack("ii", 1, 0)
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()

    def drop(self) -> None:
        """End with a FIN and no close frame."""
        self.transport.close()

    def pause(self) -> None:
        """Read nothing from now on: the kernel still takes the client's bytes."""
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    async def receive(self) -> str | bytes:
        """Return the next message; raise ``Gone`` at the end."""
        await self.until(lambda: bool(self._inbox))
        return self._inbox.popleft()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that came made ``condition`` true."""
        while not condition():
            if self.gone:
                raise Gone
            self._news.clear()
            await self._news.wait()

    async def ended(self) -> None:
        """Wait until the connection is gone."""
        with contextlib.suppress(Gone):
            await self.until(lambda: False)

    async def said_goodbye(self) -> None:
        """Wait for the client's close frame."""
        await self.until(lambda: self.close_received is not None)


def _unmasked(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the first masked frame's opcode and payload, and what follows it."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size >= _IS_16_BIT:
        width = 2 if size == _IS_16_BIT else 8
        if len(data) < at + width:
            return None
        size, at = int.from_bytes(data[at : at + width]), at + width
    if len(data) < at + 4 + size:
        return None
    key = data[at : at + 4] * (size // 4 + 1)
    masked = data[at + 4 : at + 4 + size]
    plain = int.from_bytes(masked) ^ int.from_bytes(key[:size])
    return data[0] & 0x0F, plain.to_bytes(size), data[at + 4 + size :]


def _response(status: HTTPStatus, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class ScriptedServer:
    """Plays one script per connection: the first to the first, the last to the rest."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts: list[Script] = list(scripts) or [hold]
        #: When each request came, and for which path.
        self.requests: list[tuple[float, str]] = []
        self.peers: list[Peer] = []
        self._played = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._arrival = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: Peer(self), "127.0.0.1", 0, backlog=_BACKLOG
        )
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for peer in self.peers:
            peer.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._failure is not None:
            raise self._failure

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def dials(self) -> list[float]:
        """When each request came."""
        return [when for when, _ in self.requests]

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    @property
    def received(self) -> list[str | bytes]:
        """The messages of all connections, in the order of the connections."""
        return [data for peer in self.peers for data in peer.received]

    def play(self, *scripts: Script) -> None:
        """Play these from now on."""
        self.scripts = list(scripts)
        self._played = 0

    def next_script(self) -> Script:
        script = self.scripts[min(self._played, len(self.scripts) - 1)]
        self._played += 1
        return script

    def note(self, peer: Peer) -> None:
        self.peers.append(peer)
        self._arrival.set()

    async def arrivals(self, count: int) -> Peer:
        """Wait until so many connections have come in all; return the newest."""
        while len(self.peers) < count:
            self._arrival.clear()
            await self._arrival.wait()
        return self.peers[-1]

    def run(self, script: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(script)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()


# Scripts.


async def hold(peer: Peer) -> None:
    """Accept, take everything, say nothing."""
    peer.accept()
    await peer.ended()


async def echo(peer: Peer) -> None:
    """Accept, and send everything back."""
    peer.accept()
    while True:
        peer.send(await peer.receive())


async def tarpit(peer: Peer) -> None:
    """Never answer the handshake."""
    await peer.ended()


async def mute_at_close(peer: Peer) -> None:
    """Accept, and never answer the close frame."""
    peer.answers_close = False
    peer.accept()
    await peer.ended()


async def black_hole(peer: Peer) -> None:
    """Accept, and answer nothing from then on; not even pings."""
    peer.answers_pings = peer.answers_close = False
    peer.accept()
    await peer.ended()


def closing(code: int | None, reason: str = "", *, after: float = SOON) -> Script:
    """Accept, close after so many seconds, and wait for the client's goodbye.

    With ``after=0`` the close frame comes in one packet with the 101.
    """

    async def script(peer: Peer) -> None:
        peer.accept()
        if after:
            await asyncio.sleep(after)
        peer.close(code, reason)
        await peer.said_goodbye()

    return script


def resetting(*, after: float = SOON) -> Script:
    """Accept, and reset after so many seconds."""

    async def script(peer: Peer) -> None:
        peer.accept()
        if after:
            await asyncio.sleep(after)
        peer.reset()

    return script


def refusing(status: int, headers: Mapping[str, str] | None = None) -> Script:
    """Answer the handshake with a status."""

    async def script(peer: Peer) -> None:
        peer.refuse(status, headers)
        await peer.ended()

    return script


def feeding(*messages: str | bytes, then: Script | None = None) -> Script:
    """Accept, send messages, and then wait for the end or do something else."""

    async def script(peer: Peer) -> None:
        peer.accept(tail=b"".join(map(message, messages)))
        await (peer.ended() if then is None else then(peer))

    return script
