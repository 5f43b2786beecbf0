"""One connection through a FaultProxy, and what a fault is to it.

Rules: Faults change the two pipes of a connection, or end it. Whatever ends it first,
a pipe, a fault or an error, decides how both of its sockets are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import attrs

from resilient_ws.testing.pipe import End, Pipe
from resilient_ws.testing.sockets import hang_up, reset, send_at_once


if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

#: From the client to the server, from the server to the client, or both.
Direction: TypeAlias = Literal["up", "down", "both"]

#: Applies faults to one connection as time passes.
FaultScript: TypeAlias = Callable[["ProxiedConnection"], Awaitable[object]]


@attrs.frozen
class Fault:
    """Something that can go wrong with a connection."""

    #: Whether the fault happens once instead of lasting.
    is_momentary: ClassVar[bool] = False
    #: Whether nobody listens on the proxy's port while the fault lasts.
    closes_port: ClassVar[bool] = False

    def impose(self, connection: ProxiedConnection) -> None:
        """Impose the fault on one connection."""
        raise NotImplementedError


class ProxiedConnection:
    """One connection that a client made to a :class:`FaultProxy`.

    Args:
        number: Which connection of its proxy this is, from 1.
    """

    def __init__(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        #: Which connection of its proxy this is, from 1.
        self.number = number
        #: When it was accepted, by the loop's clock.
        self.opened_at = loop.time()
        #: What went from the client to the server, and back. Each has ``passed``,
        #: ``swallowed`` and ``held``, in bytes.
        self.up, self.down = Pipe(self.end), Pipe(self.end)
        self._answer: Callable[[socket.socket], Awaitable[None]] | None = None
        self._ending: asyncio.Future[End] = loop.create_future()
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the proxy still holds a socket of this connection."""
        return not self._closed.is_set()

    def apply(self, *faults: Fault) -> None:
        """Impose faults on this connection alone."""
        for fault in faults:
            fault.impose(self)

    def heal(self) -> None:
        """Lift the faults of this connection. What was swallowed stays lost."""
        self.up.heal()
        self.down.heal()

    async def ended(self) -> None:
        """Wait until the connection has ended.

        Cancellation: may be cancelled at any time.
        """
        await self._closed.wait()

    # For faults.

    def pipes(self, direction: Direction) -> tuple[Pipe, ...]:
        """Return the pipes of a direction."""
        pipes = {"up": (self.up,), "down": (self.down,), "both": (self.up, self.down)}
        return pipes[direction]

    def answer(self, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Let the proxy answer the client, if the server was not dialled yet."""
        self._answer = answer

    def end(self, how: End) -> None:
        """End the connection on both sides, unless it is ending already."""
        if not self._ending.done():
            self._ending.set_result(how)

    # For the proxy.

    async def run(
        self,
        client: socket.socket,
        dial: Callable[[], Awaitable[socket.socket | None]],
        script: FaultScript | None,
    ) -> None:
        """Carry bytes until something ends the connection, and close the sockets.

        Args:
            client: The accepted socket.
            dial: Returns a socket to the server, ``None`` if it cannot be reached.
            script: Runs beside the connection from when the server was reached.
        """
        sockets, how = [client], End.RST
        try:
            send_at_once(client)
            if self._answer is not None:
                how = await self._run_until_end([self._answered(client, self._answer)])
            elif not self._ending.done() and (server := await dial()) is not None:
                sockets.append(server)
                send_at_once(server)
                steps: list[Coroutine[None, None, object]] = [
                    self.up.read(client),
                    self.up.write(server, self.down),
                    self.down.read(server),
                    self.down.write(client, self.up),
                ]
                if script is not None:
                    steps.append(_awaited(script(self)))
                how = await self._run_until_end(steps)
        finally:
            for sock in sockets:
                (hang_up if how is End.FIN else reset)(sock)
            self._closed.set()

    async def _answered(
        self, client: socket.socket, answer: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        try:
            await answer(client)
        except OSError:
            self.end(End.RST)
        self.end(End.FIN)

    async def _run_until_end(self, steps: list[Coroutine[None, None, object]]) -> End:
        """Run the steps side by side until one ends the connection, or raises."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(step) for step in steps]
        for task in tasks:
            task.add_done_callback(self._on_done)
        try:
            return await self._ending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _on_done(self, task: asyncio.Task[object]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self._ending.done():
            self._ending.set_exception(error)


async def _awaited(awaitable: Awaitable[object]) -> object:
    return await awaitable
