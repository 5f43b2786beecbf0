"""A TCP proxy between a client and any server, that breaks connections as it is told.

Without a fault it is transparent: bytes, half-closes, resets and back-pressure pass
through unchanged, and so does TLS. At most 256 KiB of each direction wait in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self

from resilient_ws.testing.proxied_connection import Fault, ProxiedConnection


if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from resilient_ws.testing.proxied_connection import FaultScript

_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 4096
#: Beyond this many, connections that have ended are forgotten, the oldest first.
_MAX_REMEMBERED: Final = 10_000


class FaultProxy:
    """A TCP proxy on loopback that stands before a server, and breaks things.

    ::

        async with FaultProxy("127.0.0.1", server_port) as proxy:
            session = resilient_ws.connect(proxy.url("/feed"))
            ...
            proxy.apply(BlackHole("down"))   # until it is healed
            proxy.heal()
            proxy.play(Refuse(), Reject(503, retry_after=1), Cut(400))

    ``apply`` imposes a fault on the open connections and on new ones. ``play`` deals
    one fault to each new connection in turn. ``proxy.connections[-1].apply`` is for a
    single connection.

    Args:
        host: Where the server is: a name or an address.
        port: The server's port.
        listen: The address and port to listen at; by default a free port of loopback.

    Raises:
        OSError: When entered: the host has no address, or the port is in use.
        Exception: At the end of the ``async with``: the first error that a script
            raised.
    """

    def __init__(
        self, host: str, port: int, *, listen: tuple[str, int] = (_HOST, 0)
    ) -> None:
        self._server = (host, port)
        self._listen, self._wanted_port = listen
        self._addresses: list[tuple[Any, ...]] = []
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._lasting: list[Fault] = []
        self._script: deque[Fault | Iterable[Fault] | FaultScript] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._arrival = asyncio.Event()
        #: How many connections were accepted in all.
        self.accepted = 0
        #: The connections, oldest first. Of those that have ended, only the newest
        #: 10,000 are kept.
        self.connections: list[ProxiedConnection] = []
        #: The proxy's port. It stays the same while the proxy runs.
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        host, port = self._server
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        self._addresses = [(family, address) for family, *_, address in found]
        # Reserves the port while nobody listens on it. The kernel could otherwise give
        # it to an outgoing connection, even to the one that dials it.
        self._reservation = _bound(self._listen, self._wanted_port)
        self.port = self._reservation.getsockname()[1]
        self._listen_if_allowed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """Reset every connection."""
        self._stop_listening()
        self._reservation.close()
        if self._accepting is not None:
            await asyncio.wait([self._accepting])
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._failure is None:
            return
        if error is None:
            raise self._failure
        error.add_note(f"A script of the proxy raised {self._failure!r}")

    def url(self, path: str = "", *, scheme: str = "ws") -> str:
        """Return the URL to dial. Use ``scheme="wss"`` when the server speaks TLS."""
        host = f"[{self._listen}]" if ":" in self._listen else self._listen
        return f"{scheme}://{host}:{self.port}{path}"

    async def arrivals(self, count: int) -> ProxiedConnection:
        """Wait until ``count`` connections have come in all; return the newest.

        Cancellation: may be cancelled at any time.
        """
        while self.accepted < count:
            self._arrival.clear()
            await self._arrival.wait()
        return self.connections[-1]

    # Faults.

    def apply(self, *faults: Fault) -> None:
        """Impose faults on the open connections and on new ones, until ``heal``.

        ``Reset``, ``Drop`` and ``HalfClose`` happen once, to the open connections.
        """
        for connection in self._open_connections():
            connection.apply(*faults)
        self._lasting += [fault for fault in faults if not fault.is_momentary]
        self._listen_if_allowed()

    def heal(self) -> None:
        """Lift every fault, and forget the rest of the script."""
        self._lasting.clear()
        self._script.clear()
        for connection in self._open_connections():
            connection.heal()
        self._listen_if_allowed()

    def play(self, *script: Fault | Iterable[Fault] | FaultScript) -> None:
        """Deal these to the new connections in turn; those after them are healthy.

        Args:
            script: For each connection a fault, several faults together, or an
                ``async`` function of the connection that applies them as time passes;
                ``timed`` makes one.
        """
        self._script = deque(script)

    # Listening.

    def _listen_if_allowed(self) -> None:
        """Listen, or stop listening while a lasting fault closes the port."""
        if any(fault.closes_port for fault in self._lasting):
            self._stop_listening()
        elif self._listener is None:
            self._listener = _bound(self._listen, self.port)
            self._listener.listen(_BACKLOG)
            self._accepting = self._start(self._accept(self._listener))

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None or self._accepting is None:
            return
        # The kernel refuses clients from now on, and the pending accept fails and
        # closes the socket. Cancelling that accept could lose a client that it has
        # already taken.
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:  # Not every system shuts a listening socket down.
            self._accepting.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError:
                    if self._listener is listener:
                        raise
                    return
                self._begin(client)

    # Connections.

    def _begin(self, client: socket.socket) -> None:
        self.accepted += 1
        connection = ProxiedConnection(self.accepted)
        connection.apply(*self._lasting)
        script = self._deal(connection)
        self._remember(connection)
        task = self._start(connection.run(client, self._dial, script))
        task.set_name(f"connection {connection.number} of a FaultProxy")

    def _deal(self, connection: ProxiedConnection) -> FaultScript | None:
        """Impose the next faults of the script, or return the function to run."""
        if not self._script:
            return None
        item = self._script.popleft()
        if callable(item):
            return item
        connection.apply(*([item] if isinstance(item, Fault) else item))
        return None

    def _remember(self, connection: ProxiedConnection) -> None:
        self.connections.append(connection)
        if len(self.connections) > 2 * _MAX_REMEMBERED:
            older = self.connections[:-_MAX_REMEMBERED]
            newer = self.connections[-_MAX_REMEMBERED:]
            self.connections = [c for c in older if c.is_open] + newer
        self._arrival.set()

    def _open_connections(self) -> list[ProxiedConnection]:
        return [connection for connection in self.connections if connection.is_open]

    async def _dial(self) -> socket.socket | None:
        """Return a socket to the server, ``None`` if it cannot be reached."""
        loop = asyncio.get_running_loop()
        for family, address in self._addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)  # noqa: FBT003 - its only argument
            try:
                await loop.sock_connect(sock, address)
            except OSError:
                sock.close()
            except asyncio.CancelledError:
                sock.close()
                raise
            else:
                return sock
        return None

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that holds the port and does not listen yet."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with contextlib.ExitStack() as stack:
        stack.callback(sock.close)
        sock.setblocking(False)  # noqa: FBT003 - its only argument
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        stack.pop_all()
    return sock
