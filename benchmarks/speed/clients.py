"""The libraries that are measured, each used as its own documentation shows.

resilient_ws runs with its defaults (liveness, statistics, bounded inbox) and an event
callback. picows has callbacks alone; what a pull API must be compared with is its
callback and a queue: asyncio's, which its user would reach for, or a bare deque, the
leanest there is. Its user has to see to back-pressure, and this one does not.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import struct
import sys
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import aiohttp
import websockets.asyncio.client

import resilient_ws
from benchmarks.speed.frames import Message


if TYPE_CHECKING or importlib.util.find_spec("picows") is not None:
    import picows
if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

Expected: TypeAlias = "Callable[[], Message]"

US: Final = "resilient_ws"
#: What follows a name where the process runs without the compiled part.
_PURE: Final = ", pure"
PURE: Final = US + _PURE
LIMIT: Final = 64 * 1024 * 1024


def pure(name: str) -> str:
    """Return how the pure twin of one of our clients is called."""
    return name + _PURE


def is_pure(name: str) -> bool:
    return name.endswith(_PURE)


def without_twin(name: str) -> str:
    """Return the name of the client, whichever twin it runs with."""
    return name.removesuffix(_PURE)


class Changed(AssertionError):
    """A message arrived changed, too often, or not at all."""


class Client:
    """One library, on one connection."""

    name: ClassVar[str]
    compresses: ClassVar[bool] = True

    @classmethod
    def open(
        cls, url: str, *, context: ssl.SSLContext | None, compress: bool
    ) -> AbstractAsyncContextManager[Client]:
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        raise NotImplementedError

    async def receive(self) -> Message:
        raise NotImplementedError

    async def take(self, expected: Expected, count: int) -> None:
        """Iterate over so many messages and compare each."""
        raise NotImplementedError

    async def take_many(self, expected: Expected, count: int) -> None:
        """Do the same with batches, where the library has them."""
        await self.take(expected, count)

    async def put(self, messages: Iterable[Message]) -> None:
        """Send them as fast as the library lets one."""
        raise NotImplementedError

    async def ages(self, count: int) -> list[int]:
        """The nanoseconds that each message of a feed was under way."""
        raise NotImplementedError

    async def exchange(self, messages: Iterable[Message]) -> None:
        """Send each when the one before it has come back."""
        for message in messages:
            await self.send(message)
            if await self.receive() != message:
                raise Changed


def age(message: Any) -> int:  # noqa: ANN401 - each library calls it otherwise
    sent: int = struct.unpack_from("!Q", message)[0]
    return time.monotonic_ns() - sent


#: The standard output is for figures.
report = functools.partial(print, file=sys.stderr)


class ResilientWS(Client):
    name = US

    def __init__(self, session: resilient_ws.Session) -> None:
        self.session = session
        self.send = session.send  # type: ignore[method-assign,assignment]
        self.receive = session.receive  # type: ignore[method-assign]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, context: ssl.SSLContext | None, compress: bool
    ) -> AsyncIterator[Client]:
        session = resilient_ws.connect(
            url, compression="deflate" if compress else None, ssl=context or True
        )
        session.on(resilient_ws.ConnectionDropped, report)
        async with session:
            yield cls(session)

    async def take(self, expected: Expected, count: int) -> None:
        async for message in self.items():
            if message != expected():
                raise Changed
            count -= 1
            if not count:
                break
        received = self.session.statistics().messages_received
        if count or received == 0:
            raise Changed

    async def take_many(self, expected: Expected, count: int) -> None:
        while count > 0:
            batch = await self.session.receive_many()
            for message in batch:
                if message != expected():
                    raise Changed
            count -= len(batch)
        if count:
            raise Changed

    def items(self) -> AsyncIterator[object]:
        return aiter(self.session)

    async def put(self, messages: Iterable[Message]) -> None:
        send = self.session.send
        for message in messages:
            await send(message)

    async def ages(self, count: int) -> list[int]:
        taken: list[int] = []
        async for message in self.session:
            taken.append(age(message))
            if len(taken) == count:
                break
        return taken


class WithInterruptions(ResilientWS):
    name = "resilient_ws, with_interruptions"

    def items(self) -> AsyncIterator[object]:
        return self.session.with_interruptions()


class Callbacks(ResilientWS):
    name = "resilient_ws, callback"

    async def take(self, expected: Expected, count: int) -> None:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_message(event: resilient_ws.MessageReceived) -> None:
            nonlocal count
            if event.data != expected() and not done.done():
                done.set_result(False)
            count -= 1
            if not count:
                done.set_result(True)

        self.session.on(resilient_ws.MessageReceived, on_message)
        if not await done:
            raise Changed


class Aiohttp(Client):
    name = "aiohttp"

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.socket = socket

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, context: ssl.SSLContext | None, compress: bool
    ) -> AsyncIterator[Client]:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                url,
                compress=15 if compress else 0,
                ssl=context or True,
                max_msg_size=LIMIT,
            ) as socket,
        ):
            assert bool(socket.compress) is compress
            yield cls(socket)

    async def send(self, message: Message) -> None:
        if isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_bytes(message)

    async def receive(self) -> Message:
        message = await self.socket.receive()
        data: Message = message.data
        return data

    async def take(self, expected: Expected, count: int) -> None:
        # As the others, but that the message has to be taken out of a tuple.
        async for message in self.socket:
            if message.data != expected():
                raise Changed
            count -= 1
            if not count:
                break
        if count:
            raise Changed

    async def put(self, messages: Iterable[Message]) -> None:
        send: dict[type, Any] = {
            str: self.socket.send_str,
            bytes: self.socket.send_bytes,
        }
        for message in messages:
            await send[type(message)](message)

    async def ages(self, count: int) -> list[int]:
        taken: list[int] = []
        async for message in self.socket:
            taken.append(age(message.data))
            if len(taken) == count:
                break
        return taken


class Websockets(Client):
    name = "websockets"

    def __init__(self, socket: websockets.asyncio.client.ClientConnection) -> None:
        self.socket = socket
        self.send = socket.send  # type: ignore[method-assign]
        self.receive = socket.recv  # type: ignore[method-assign]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, context: ssl.SSLContext | None, compress: bool
    ) -> AsyncIterator[Client]:
        async with websockets.asyncio.client.connect(
            url,
            compression="deflate" if compress else None,
            proxy=None,
            max_size=LIMIT,
            ssl=context,
        ) as socket:
            yield cls(socket)

    async def take(self, expected: Expected, count: int) -> None:
        async for message in self.socket:
            if message != expected():
                raise Changed
            count -= 1
            if not count:
                break
        if count:
            raise Changed

    async def put(self, messages: Iterable[Message]) -> None:
        send = self.socket.send
        for message in messages:
            await send(message)

    async def ages(self, count: int) -> list[int]:
        taken: list[int] = []
        async for message in self.socket:
            taken.append(age(message))
            if len(taken) == count:
                break
        return taken


class LeanQueue:
    """The shortest way from a callback to a waiting consumer: unbounded, no checks."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, message: Message) -> None:
        self._waiting.append(message)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    async def get(self) -> Message:
        while not self._waiting:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._waiting.popleft()


class Picows(Client):
    name = "picows, queue"
    compresses = False

    def __init__(self) -> None:
        queue = asyncio.Queue[Message]()
        self.receive = queue.get  # type: ignore[method-assign]
        self.accept: Callable[[Any], object] = queue.put_nowait
        self.transport: picows.WSTransport = None  # type: ignore[assignment]

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        context: ssl.SSLContext | None,
        compress: bool,  # noqa: ARG003 - it has none
    ) -> AsyncIterator[Client]:
        client = cls()
        transport, _ = await picows.ws_connect(
            lambda: listener_of(client), url, ssl_context=context
        )
        client.transport = transport
        try:
            yield client
        finally:
            transport.send_close(picows.WSCloseCode.OK)
            await transport.wait_disconnected()

    async def send(self, message: Message) -> None:
        if isinstance(message, str):
            self.transport.send(picows.WSMsgType.TEXT, message.encode())
        else:
            self.transport.send(picows.WSMsgType.BINARY, message)

    async def take(self, expected: Expected, count: int) -> None:
        receive = self.receive
        for _ in range(count):
            if await receive() != expected():
                raise Changed

    async def put(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self.send(message)
            # It never waits, and so would let nobody else run.
            if self.transport.underlying_transport.get_write_buffer_size() > 65536:
                await asyncio.sleep(0)

    async def ages(self, count: int) -> list[int]:
        return [age(await self.receive()) for _ in range(count)]


class PicowsDeque(Picows):
    name = "picows, deque"

    def __init__(self) -> None:
        super().__init__()
        queue = LeanQueue()
        self.receive = queue.get  # type: ignore[method-assign]
        self.accept = queue.put_nowait


class PicowsCallback(Picows):
    name = "picows, callback"

    async def take(self, expected: Expected, count: int) -> None:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_message(message: Message) -> None:
            nonlocal count
            if message != expected() and not done.done():
                done.set_result(False)
            count -= 1
            if not count:
                done.set_result(True)

        self.accept = on_message
        if not await done:
            raise Changed


def listener_of(client: Picows) -> picows.WSListener:
    class Listener(picows.WSListener):
        def on_ws_frame(self, _: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                client.accept(frame.get_payload_as_utf8_text())
            elif frame.msg_type == picows.WSMsgType.BINARY:
                client.accept(frame.get_payload_as_bytes())
            elif frame.msg_type == picows.WSMsgType.CLOSE:
                client.transport.disconnect()

    return Listener()


CLIENTS: Final[dict[str, type[Client]]] = {
    client.name: client
    for client in (ResilientWS, WithInterruptions, Callbacks, Aiohttp, Websockets)
}
if importlib.util.find_spec("picows") is not None:
    for client in (Picows, PicowsDeque, PicowsCallback):
        CLIENTS[client.name] = client
