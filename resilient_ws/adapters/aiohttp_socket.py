"""What ``ws_connect`` returns: it behaves as ``aiohttp.ClientWebSocketResponse``.

Rules: messages are handed over before the end is told. ``closed`` turns true when the
end was told or ``close`` was called, as in aiohttp, so that a loop over ``receive``
misses nothing. The engine answers the server's pings, whatever ``autoping`` says.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import WSCloseCode, WSMessage, WSMsgType

from resilient_ws import LivenessTimeout, ProtocolError, ResilientWSError
from resilient_ws.adapters.held_connection import ConnectionOver
from resilient_ws.feeds.json import guarded


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from resilient_ws.adapters.held_connection import HeldConnection

_CLOSED: Final = WSMessage(WSMsgType.CLOSED, None, None)
_CLOSING: Final = WSMessage(WSMsgType.CLOSING, None, None)
_ENDS: Final = frozenset((WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED))
#: A close frame without a code; aiohttp calls it 0.
_NO_CODE: Final = 1005


class AiohttpSocket:
    """One connection, as a library sees it that was written for aiohttp.

    Args:
        held: The connection.
        receive_timeout: Seconds that ``receive`` waits, unless it is told otherwise.
        autoping: Whether pongs are kept from the library.
        decode_text: Whether text comes as ``str``; otherwise as ``bytes``.
        compress: What the library asked for.
    """

    def __init__(
        self,
        held: HeldConnection,
        *,
        receive_timeout: float | None,
        autoping: bool,
        decode_text: bool,
        compress: int,
    ) -> None:
        self.protocol = held.session.subprotocol
        self.compress = compress
        self.client_notakeover = False
        self.closed = False
        self.close_code: int | None = None
        self._held = held
        self._receive_timeout = receive_timeout
        self._autoping = autoping
        self._decode_text = decode_text
        self._exception: BaseException | None = None
        self._waiting = False
        # Used only where autoping is off: pongs, and what wakes who waits for one.
        self._pongs: deque[WSMessage] = deque()
        self._pong_came = asyncio.Event()
        self._reading: asyncio.Task[WSMessage] | None = None
        self._pings: set[asyncio.Task[None]] = set()

    def exception(self) -> BaseException | None:
        """Return what ended the connection, if it was an error."""
        return self._exception

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        """Return ``default``: a session does not show its transport."""
        return default

    # Receiving.

    async def receive(self, timeout: float | None = None) -> WSMessage:
        """Return the next message, or how the connection ended.

        Args:
            timeout: Seconds to wait; by default the ``receive_timeout`` of
                ``ws_connect``, or for ever.

        Raises:
            RuntimeError: Another call waits.
            TimeoutError: Nothing came within ``timeout`` seconds.

        Cancellation:
            Safe: no message is lost.
        """
        if self._waiting:
            raise RuntimeError("Concurrent call to receive() is not allowed")
        if self.closed:
            return _CLOSED
        patience = timeout or self._receive_timeout
        self._waiting = True
        try:
            if patience is None:
                return await self._next()
            async with asyncio.timeout(patience):
                return await self._next()
        finally:
            self._waiting = False

    async def _next(self) -> WSMessage:
        if self._autoping:
            return await self._message()
        return await self._message_or_pong()

    async def _message(self) -> WSMessage:
        try:
            data = await self._held.receive()
        except ConnectionOver as end:
            return self._told(end)
        if isinstance(data, bytes):
            return WSMessage(WSMsgType.BINARY, data, "")
        text = data if self._decode_text else data.encode()
        return WSMessage(WSMsgType.TEXT, text, "")

    async def _message_or_pong(self) -> WSMessage:
        loop = asyncio.get_running_loop()
        while not self._pongs:
            # Kept over a cancellation: it may hold a message by then.
            if self._reading is None:
                self._reading = loop.create_task(self._message())
            self._pong_came.clear()
            pong = loop.create_task(self._pong_came.wait())
            try:
                both = {self._reading, pong}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pong.cancel()
            if self._reading.done():
                done, self._reading = self._reading, None
                return done.result()
        return self._pongs.popleft()

    def _told(self, end: ConnectionOver) -> WSMessage:
        """Note the end, and return the message that tells it."""
        if self.closed:
            # close() was called while receive() waited.
            return _CLOSING
        self.closed = True
        frame = None if end.close is None else end.close.received
        if isinstance(end.because, LivenessTimeout):
            self.close_code = WSCloseCode.ABNORMAL_CLOSURE
            self._exception = aiohttp.ServerTimeoutError(str(end.because))
            return WSMessage(WSMsgType.ERROR, self._exception, None)
        if isinstance(end.because, ProtocolError):
            self.close_code = end.because.code
            self._exception = aiohttp.WebSocketError(end.because.code, str(end.because))
            return WSMessage(WSMsgType.ERROR, self._exception, None)
        if frame is not None:
            self.close_code = 0 if frame.code == _NO_CODE else frame.code
            return WSMessage(WSMsgType.CLOSE, self.close_code, frame.reason)
        self.close_code = WSCloseCode.ABNORMAL_CLOSURE
        if end.because is not None:
            self._exception = aiohttp.ClientConnectionResetError(str(end.because))
        return _CLOSED

    async def receive_str(self, *, timeout: float | None = None) -> str | bytes:
        """Return the next message, which must be text.

        Raises:
            TimeoutError: Nothing came within ``timeout`` seconds.
            aiohttp.WSMessageTypeError: It is not text, or the connection has ended.

        Cancellation:
            Safe: no message is lost.
        """
        message = await self.receive(timeout)
        return _of_type(message, WSMsgType.TEXT)  # type: ignore[no-any-return]

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """Return the next message, which must be binary; raise as ``receive_str``.

        Cancellation:
            Safe: no message is lost.
        """
        message = await self.receive(timeout)
        return _of_type(message, WSMsgType.BINARY)  # type: ignore[no-any-return]

    async def receive_json(
        self,
        *,
        loads: Callable[[Any], Any] = json.loads,
        timeout: float | None = None,
    ) -> Any:
        """Return the next message, which must be text, decoded.

        Raises:
            Exception: What ``receive_str`` raises, or ``loads``.

        Cancellation:
            Safe: no message is lost.
        """
        return guarded(loads)(await self.receive_str(timeout=timeout))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WSMessage:
        message = await self.receive()
        if message.type in _ENDS:
            raise StopAsyncIteration
        return message

    # Sending.

    async def send_str(self, data: str, compress: int | None = None) -> None:  # noqa: ARG002
        """Send text.

        Raises:
            aiohttp.ClientConnectionResetError: The connection has ended.
        """
        if not isinstance(data, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"data argument must be str ({type(data)!r})")
        await self._send(data)

    async def send_bytes(
        self,
        data: bytes | bytearray | memoryview,
        compress: int | None = None,  # noqa: ARG002
    ) -> None:
        """Send binary data.

        Raises:
            aiohttp.ClientConnectionResetError: The connection has ended.
        """
        if not isinstance(data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        await self._send(data)

    async def send_json(
        self,
        data: Any,
        compress: int | None = None,
        *,
        dumps: Callable[[Any], str] = json.dumps,
    ) -> None:
        """Send an object as text, encoded."""
        await self.send_str(dumps(data), compress)

    async def send_json_bytes(
        self,
        data: Any,
        compress: int | None = None,
        *,
        dumps: Callable[[Any], bytes],
    ) -> None:
        """Send an object as binary data, encoded."""
        await self.send_bytes(dumps(data), compress)

    async def send_frame(
        self, message: bytes, opcode: WSMsgType, compress: int | None = None
    ) -> None:
        """Send one frame, as far as a session has a call for it."""
        if opcode is WSMsgType.TEXT:
            await self.send_str(message.decode(), compress)
        elif opcode is WSMsgType.BINARY:
            await self.send_bytes(message, compress)
        elif opcode is WSMsgType.PING:
            await self.ping(message)
        else:
            raise ValueError(f"opcode must be TEXT, BINARY or PING, not {opcode!r}.")

    async def _send(self, data: str | bytes | bytearray | memoryview) -> None:
        if not self.closed:
            try:
                await self._held.send(data)
            except ConnectionOver:
                pass
            else:
                return
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    async def ping(self, message: bytes = b"") -> None:
        """Ping the server; without ``autoping``, ``receive`` returns the pong."""
        task = asyncio.get_running_loop().create_task(self._round_trip(message))
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)
        # The ping leaves in the task's first turn.
        await asyncio.sleep(0)

    async def _round_trip(self, message: bytes) -> None:
        try:
            await self._held.session.ping()
        except ResilientWSError:
            # The end of the connection is told by receive().
            return
        if not self._autoping:
            self._pongs.append(WSMessage(WSMsgType.PONG, message, ""))
            self._pong_came.set()

    async def pong(self, message: bytes = b"") -> None:
        """Do nothing: the engine has answered already."""

    # Closing.

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        """Close the connection; return whether this call did.

        Args:
            code: The close code (default 1000).
            message: The close reason, at most 123 bytes in UTF-8.

        Cancellation:
            Ends only this wait; the connection still closes.
        """
        # A library may call this from its reader after the end was told.
        first = not self.closed
        self.closed = True
        await self._held.close(code, message.decode(errors="replace"))
        for task in (*self._pings, self._reading):
            if task is not None and not self._waiting:
                task.cancel()
        record = self._held.ended.close if self._held.ended is not None else None
        if self.close_code is None:
            received = None if record is None else record.received
            abnormal = int(WSCloseCode.ABNORMAL_CLOSURE)
            self.close_code = abnormal if received is None else received.code
        return first

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _of_type(message: WSMessage, kind: WSMsgType) -> Any:
    if message.type is not kind:
        raise aiohttp.WSMessageTypeError(
            f"Received message {message.type}:{message.data!r} is not {kind!s}"
        )
    return message.data
