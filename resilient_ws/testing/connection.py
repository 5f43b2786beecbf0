"""One connection through a FaultProxy, from its accept to its end on both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias

from resilient_ws.testing.pipe import End, Pipe
from resilient_ws.testing.sockets import hang_up, reset, send_at_once


if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine

    from resilient_ws.testing.faults import Fault

#: From the client to the server, from the server to the client, or both.
Direction: TypeAlias = Literal["up", "down", "both"]


class ProxiedConnection:
    """One connection that a client made to a :class:`FaultProxy`.

    Args:
        number: Which of its proxy it is, from 1.
    """

    def __init__(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        #: When it was accepted, by the loop's clock.
        self.opened_at = loop.time()
        #: What passed from the client to the server, and back: ``passed``,
        #: ``swallowed`` and ``held``, in bytes.
        self.up, self.down = Pipe(self.end), Pipe(self.end)
        self.up.opposite, self.down.opposite = self.down, self.up
        self._instead: Callable[[socket.socket], Awaitable[None]] | None = None
        self._ending: asyncio.Future[End] = loop.create_future()
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the proxy still holds a socket of it."""
        return not self._closed.is_set()

    def apply(self, *faults: Fault) -> None:
        """Impose faults on this connection alone."""
        for fault in faults:
            fault.impose(self)

    def heal(self) -> None:
        """Lift the faults of this connection; what was swallowed does not come back."""
        self.up.heal()
        self.down.heal()

    async def ended(self) -> None:
        """Wait until it is over. Cancellation: may be cancelled at any time."""
        await self._closed.wait()

    # What faults do.

    def pipes(self, direction: Direction) -> tuple[Pipe, ...]:
        """The pipes of a direction."""
        pipes = {"up": (self.up,), "down": (self.down,), "both": (self.up, self.down)}
        return pipes[direction]

    def answer(self, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Have the client answered by the proxy, if the server was not dialled yet."""
        self._instead = answer

    def end(self, how: End) -> None:
        """End it, on both sides."""
        if not self._ending.done():
            self._ending.set_result(how)

    # What the proxy does.

    async def run(
        self,
        client: socket.socket,
        dial: Callable[[], Awaitable[socket.socket | None]],
        script: Callable[[ProxiedConnection], Awaitable[object]] | None,
    ) -> None:
        """Carry it from its accept to its end."""
        sockets, how = [client], End.RST
        try:
            send_at_once(client)
            if self._instead is not None:
                how = await self._until_over([self._answered(client, self._instead)])
            elif not self._ending.done() and (server := await dial()) is not None:
                sockets.append(server)
                how = await self._until_over(self._work(client, server, script))
        finally:
            for sock in sockets:
                (hang_up if how is End.FIN else reset)(sock)
            self._closed.set()

    def _work(
        self,
        client: socket.socket,
        server: socket.socket,
        script: Callable[[ProxiedConnection], Awaitable[object]] | None,
    ) -> list[Coroutine[None, None, object]]:
        send_at_once(server)
        work: list[Coroutine[None, None, object]] = [
            self.up.read(client),
            self.up.write(server),
            self.down.read(server),
            self.down.write(client),
        ]
        if script is not None:
            work.append(_awaited(script(self)))
        return work

    async def _answered(
        self, client: socket.socket, answer: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        try:
            await answer(client)
        except OSError:
            self.end(End.RST)
        self.end(End.FIN)

    async def _until_over(self, work: list[Coroutine[None, None, object]]) -> End:
        """Do it all until one step ends the connection, or fails."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(step) for step in work]
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
