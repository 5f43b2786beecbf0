"""One connection, as a program sees it that was written for ``websockets``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast, overload

from websockets.exceptions import ConcurrencyError, ConnectionClosedOK
from websockets.protocol import State as Phase

from resilient_ws import ResilientWSError
from resilient_ws.adapters.held_connection import ConnectionOver
from resilient_ws.adapters.websockets_errors import as_closed


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from typing import Literal, Self

    from websockets.http11 import Request, Response

    from resilient_ws.adapters.held_connection import HeldConnection

Data: TypeAlias = str | bytes
Payload: TypeAlias = Data | bytearray | memoryview
_ABNORMAL: Final = 1006


class ClientConnection:
    """One connection; ``connect`` makes it, and it has the methods of websockets' own.

    Args:
        held: The connection.
        request: What was asked, as far as it is known.
        response: What was answered.
    """

    def __init__(
        self, held: HeldConnection, request: Request, response: Response
    ) -> None:
        self.id = uuid.uuid4()
        self.logger = logging.getLogger("resilient_ws")
        self.request = request
        self.response = response
        self._held = held
        self._phase = Phase.OPEN
        self._pings: set[asyncio.Task[float]] = set()
        self._receiving = False

    # What it is.

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected."""
        return self._held.session.subprotocol

    @property
    def latency(self) -> float:
        """Round-trip time of the newest ping, in seconds; 0 before the first."""
        return self._held.session.latency or 0.0

    @property
    def state(self) -> Phase:
        """``OPEN`` until the end was read, or ``close`` was called."""
        return self._phase

    @property
    def local_address(self) -> None:
        """``None``: a session does not show its socket."""

    @property
    def remote_address(self) -> None:
        """``None``: a session does not show its socket."""

    @property
    def close_code(self) -> int | None:
        """The close code, 1006 where no close frame came; ``None`` while open."""
        end = self._held.ended
        if end is None:
            return None
        frame = None if end.close is None else end.close.received
        return _ABNORMAL if frame is None else frame.code

    @property
    def close_reason(self) -> str | None:
        """The server's close reason; ``None`` while open."""
        end = self._held.ended
        if end is None:
            return None
        frame = None if end.close is None else end.close.received
        return "" if frame is None else frame.reason

    # Receiving.

    @overload
    async def recv(self, decode: Literal[True]) -> str: ...
    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...
    @overload
    async def recv(self, decode: bool | None = None) -> Data: ...
    async def recv(self, decode: bool | None = None) -> Data:
        """Receive the next message.

        Args:
            decode: ``True`` returns ``str`` and ``False`` ``bytes``, whatever came.

        Raises:
            ConnectionClosed: There is none, and there will be none.
            ConcurrencyError: Another task waits for it.

        Cancellation:
            Safe: no message is lost.
        """
        if self._receiving:
            raise ConcurrencyError(
                "cannot call recv while another coroutine is already running recv or "
                "recv_streaming"
            )
        self._receiving = True
        try:
            data = await self._held.receive()
        except ConnectionOver as end:
            self._phase = Phase.CLOSED
            closed = as_closed(end)
        else:
            if decode is None:
                return data
            return _as_str(data) if decode else _as_bytes(data)
        finally:
            self._receiving = False
        raise closed

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Receive the next message, in one piece: a session joins the fragments.

        Raises and is cancelled as ``recv``.
        """
        yield await self.recv(decode)

    async def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate until the connection ends.

        Raises:
            ConnectionClosedError: It did not end with 1000, 1001 or no code.
        """
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    # Sending.

    async def send(
        self,
        message: Payload | Iterable[Payload] | AsyncIterable[Payload],
        text: bool | None = None,
    ) -> None:
        """Send one message; the pieces of an iterable are joined, and sent as one.

        Args:
            message: What to send.
            text: ``True`` sends a text message and ``False`` a binary one, whatever
                ``message`` is.

        Raises:
            ConnectionClosed: The connection has ended, and nothing was sent.
            TypeError: ``message`` is of another type.

        Cancellation:
            Safe: a cancelled ``send`` sends nothing.
        """
        data = await _whole(message)
        if text is not None:
            data = _as_str(data) if text else _as_bytes(data)
        try:
            await self._held.send(data)
        except ConnectionOver as end:
            closed = as_closed(self._held.ended or end)
        else:
            return
        raise closed

    async def ping(self, data: Payload | None = None) -> Awaitable[float]:  # noqa: ARG002
        """Ping the server; awaiting what this returns waits for the pong.

        Args:
            data: Not sent: a session's pings have a payload of their own.

        Raises:
            ConnectionClosed: From the awaitable: the connection ended first.

        Cancellation:
            Safe; the ping may have been sent.
        """
        task = asyncio.get_running_loop().create_task(self._round_trip())
        self._pings.add(task)
        task.add_done_callback(self._ponged)
        # The ping leaves in the task's first turn.
        await asyncio.sleep(0)
        return task

    async def pong(self, data: Payload = b"") -> None:
        """Do nothing: the engine answers pings by itself."""

    async def _round_trip(self) -> float:
        try:
            return await self._held.session.ping()
        except ResilientWSError as failure:
            closed = as_closed(ConnectionOver(getattr(failure, "close", None), failure))
        raise closed

    def _ponged(self, task: asyncio.Task[float]) -> None:
        self._pings.discard(task)
        if not task.cancelled():
            # Nobody need wait for a pong.
            task.exception()

    # Closing.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait for that; safe to call again.

        Args:
            code: The close code (default 1000).
            reason: The close reason, at most 123 bytes.

        Cancellation:
            Ends only this wait; the connection still closes.
        """
        self._phase = Phase.CLOSING
        try:
            await self._held.close(code, reason)
        finally:
            self._phase = Phase.CLOSED
            for task in tuple(self._pings):
                task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended.

        Cancellation:
            Safe: ends only this wait.
        """
        with contextlib.suppress(ResilientWSError):
            await self._held.session.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.close(1000 if kind is None else 1011)


def _as_str(data: Data) -> str:
    return data if isinstance(data, str) else data.decode()


def _as_bytes(data: Data) -> bytes:
    return data.encode() if isinstance(data, str) else data


async def _whole(message: Payload | Iterable[Payload] | AsyncIterable[Payload]) -> Data:
    """Return a message in one piece."""
    if isinstance(message, str | bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(cast("bytes", message))
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if isinstance(message, AsyncIterable):
        pieces = [piece async for piece in message]
    elif isinstance(message, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        pieces = list(message)
    else:
        raise TypeError("data must be str, bytes, iterable, or async iterable")
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(cast("list[str]", pieces))
    if any(isinstance(piece, str) for piece in pieces):
        raise TypeError("data iterable must contain uniform types")
    return b"".join(cast("list[bytes]", pieces))
