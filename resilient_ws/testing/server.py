"""A WebSocket server in the loop of the test. It does what it is told, and judges.

It speaks RFC 6455 with code of its own and shares none with the library under test, so
that a mistake in one cannot hide in the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final, Self

from resilient_ws.testing.frames import Misconduct
from resilient_ws.testing.peer import ClientGone, Peer


if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from resilient_ws.testing.scripts import Script

_BACKLOG: Final = 4096
#: Turns of the loop at the end, in which what is on its way is still read and judged.
_LAST_TURNS: Final = 3


class ScriptedServer:
    """A WebSocket server on loopback that a test drives step by step.

    From the test::

        async with ScriptedServer() as server:
            bot = asyncio.create_task(run_my_bot(server.url("/feed")))
            peer = await server.accept()
            await peer.expect("subscribe")
            await peer.send("news")
            await peer.close(1012)

    Or with scripts, which are ``async`` functions of a :class:`Peer`. The first is
    played to the first connection, and so on; the last is played to all the rest
    (``resilient_ws.testing.scripts`` has some)::

        async with ScriptedServer(rejecting(503), echo) as server:
            ...

    The server judges its clients by RFC 6455. It finds a request that is not a
    handshake, a frame that is not masked, text that is not UTF-8, data after a close
    frame, and more. A misconduct ends the connection, and the ``async with`` raises an
    :class:`AssertionError` at its end.

    Args:
        scripts: What to play; none to drive the server from the test.
        ssl: Serve ``wss://`` with this context.

    Raises:
        AssertionError: At the end of the ``async with``: a client broke a rule.
        Exception: Also there: the first error that a script raised.
    """

    def __init__(self, *scripts: Script, ssl: SSLContext | None = None) -> None:
        self._scripts: list[Script] = list(scripts)
        self._played = 0
        self._ssl = ssl
        #: When each request came, by the loop's clock, and its path.
        self.requests: list[tuple[float, str]] = []
        #: Every connection there was.
        self.peers: list[Peer] = []
        #: What clients did wrong.
        self.misconducts: list[str] = []
        self._numbers = itertools.count(1)
        self._keys: set[str] = set()
        self._unanswered: asyncio.Queue[Peer] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._arrival = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._listener = await asyncio.get_running_loop().create_server(
            self._make_peer, "127.0.0.1", 0, backlog=_BACKLOG, ssl=self._ssl
        )
        #: The port on 127.0.0.1.
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """End every connection, and report what was wrong."""
        for _turn in range(_LAST_TURNS):
            await asyncio.sleep(0)
        self._listener.close()
        for peer in self.peers:
            # Python 3.11.2 cannot abort a TLS transport that is gone.
            if not peer.gone:
                peer.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if error is None:
            self._judge()
        else:
            self._annotate(error)

    def url(self, path: str = "") -> str:
        """Return the URL to dial."""
        return f"{'ws' if self._ssl is None else 'wss'}://127.0.0.1:{self.port}{path}"

    @property
    def dials(self) -> list[float]:
        """When each request came, by the loop's clock."""
        return [when for when, _ in self.requests]

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    @property
    def received(self) -> list[str | bytes]:
        """The messages of all connections, in the order of the connections."""
        return [data for peer in self.peers for data in peer.received]

    # Driven from the test.

    async def request(self, *, within: float = 10.0) -> Peer:
        """Wait for the request of the next connection, and leave it unanswered.

        Raises:
            AssertionError: No client came ``within`` that many seconds.
            RuntimeError: Scripts are playing, and answer the requests.
        """
        if self._scripts:
            raise RuntimeError(
                "Scripts answer the requests to this server. To answer them from the"
                " test, make the server without scripts, or call play() without any."
            )
        try:
            async with asyncio.timeout(within):
                return await self._unanswered.get()
        except TimeoutError:
            raise AssertionError(f"No client came within {within:g} s.") from None

    async def accept(
        self,
        *,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        within: float = 10.0,
    ) -> Peer:
        """Wait for the next connection, and accept it: ``request``, ``Peer.accept``."""
        peer = await self.request(within=within)
        await peer.accept(subprotocol=subprotocol, headers=headers)
        return peer

    async def reject(
        self,
        status: int,
        *,
        retry_after: int | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        within: float = 10.0,
    ) -> Peer:
        """Wait for the next connection, and reject it: ``request``, ``Peer.reject``."""
        peer = await self.request(within=within)
        await peer.reject(status, retry_after=retry_after, headers=headers, body=body)
        return peer

    async def arrivals(self, count: int) -> Peer:
        """Wait until ``count`` connections have come in all; return the newest."""
        while len(self.peers) < count:
            self._arrival.clear()
            await self._arrival.wait()
        return self.peers[-1]

    # Driven by scripts.

    def play(self, *scripts: Script) -> None:
        """Play these to the connections from now on; none: the test answers them."""
        self._scripts = list(scripts)
        self._played = 0

    def _play_next(self, peer: Peer) -> None:
        script = self._scripts[min(self._played, len(self._scripts) - 1)]
        self._played += 1
        task = asyncio.get_running_loop().create_task(self._play(script, peer))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def _play(self, script: Script, peer: Peer) -> None:
        try:
            with contextlib.suppress(ClientGone):
                await script(peer)
        finally:
            peer.transport.close()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._failure is not None:
            return
        error = task.exception()
        if not isinstance(error, Misconduct):  # Those are in ``misconducts``.
            self._failure = error

    # Connections.

    def _make_peer(self) -> Peer:
        return Peer(
            self._numbers,
            on_open=self._on_open,
            on_request=self._on_request,
            on_misconduct=self._on_misconduct,
        )

    def _on_open(self, peer: Peer) -> None:
        self.peers.append(peer)
        self._arrival.set()

    def _on_request(self, peer: Peer) -> None:
        self.requests.append((asyncio.get_running_loop().time(), peer.path))
        key = peer.headers["sec-websocket-key"]
        if key in self._keys:
            raise Misconduct("sent the Sec-WebSocket-Key of another connection")
        self._keys.add(key)
        if self._scripts:
            self._play_next(peer)
        else:
            self._unanswered.put_nowait(peer)

    def _on_misconduct(self, peer: Peer, misconduct: Misconduct) -> None:
        self.misconducts.append(f"{peer} {misconduct}")

    # The verdict.

    def _judge(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.misconducts:
            raise AssertionError(self._verdict())

    def _annotate(self, error: BaseException) -> None:
        """Add to an error of the test what may have caused it."""
        if self._failure is not None:
            error.add_note(f"A script of the server raised {self._failure!r}")
        if self.misconducts:
            error.add_note(self._verdict())

    def _verdict(self) -> str:
        return "\n".join(["Clients broke the protocol:", *self.misconducts])
