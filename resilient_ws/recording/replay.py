"""Serves a recording: what the server sent, to whoever connects, at its own pace.

Rules: the first connection gets what the first recorded one got, and so on. What
followed a message of the client waits for one, a few seconds at most. A connection ends
as the recorded one did.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from aiohttp import WSMsgType, web

from resilient_ws.recording.course import Stretch, course_of
from resilient_ws.recording.reader import read


if TYPE_CHECKING:
    import os

    from resilient_ws.recording.entries import Entry

#: Seconds that a message waits for what the client had sent before it.
_PATIENCE: Final = 5.0
#: Seconds that connections get at the end.
_FAREWELL: Final = 1.0
#: The largest message of a client, in bytes.
_LARGEST: Final = 64 * 1024 * 1024
#: Close codes that may be sent (RFC 6455 section 7.4).
_SENDABLE: Final = frozenset({*range(1000, 1004), *range(1007, 1012), 1012, 1013, 1014})
_FIRST_PRIVATE: Final = 3000
_LAST_PRIVATE: Final = 4999
_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
#: Entries that are skipped between two turns of the event loop.
_AT_ONCE: Final = 500


class Replay:
    """A WebSocket server that plays a recording to each client in turn.

    ::

        async with Replay("today.jsonl", speed=60) as replay:
            session = connect(replay.url)

    Args:
        path: The recording.
        host: The address to listen at (default ``"127.0.0.1"``).
        port: The port; 0 (default) takes a free one.
        speed: How many times as fast as it was; ``math.inf`` for as fast as it goes.
        repeat: Whether it begins again after the last recorded connection. Otherwise
            later clients are refused with HTTP 410.

    Attributes:
        url: Where it is served, once entered.
        begun: How many connections were begun.
        played: How many connections were played to their end.
        sent: How many messages were sent.

    Raises:
        OSError: When entered: the file cannot be read, or the port is in use.
        ValueError: The speed is not above 0; when entered: the file is not a recording.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        repeat: bool = False,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self._path = Path(path)
        self._host = host
        self._port = port
        self._speed = speed
        self._repeat = repeat
        self._course: list[Stretch] = []
        self.begun = 0
        self._over = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.played = 0
        self.sent = 0

    async def __aenter__(self) -> Self:
        """Look through the recording, and listen."""
        self._course = await asyncio.to_thread(course_of, self._path)
        application = web.Application()
        # The path does not matter: a bot asks for the one it knows.
        application.router.add_get("/{path:.*}", self._serve)
        self._runner = runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_FAREWELL,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"ws://{shown}:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def connections(self) -> int:
        """How many connections the recording holds."""
        return len(self._course)

    async def over(self) -> None:
        """Wait until the last recorded connection was played; for ever if it repeats.

        Cancellation:
            Safe.
        """
        await self._over.wait()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        number = self.begun
        if number >= len(self._course) and not self._repeat:
            raise web.HTTPGone(text="The recording was played to its end.\n")
        self.begun += 1
        stretch = self._course[number % len(self._course)]
        protocols = (stretch.subprotocol,) if stretch.subprotocol else ()
        socket = web.WebSocketResponse(
            protocols=protocols, max_msg_size=_LARGEST, timeout=_FAREWELL
        )
        await socket.prepare(request)
        client = _Client(socket)
        hearing = asyncio.create_task(client.hear())
        playing = asyncio.create_task(self._play(stretch, client, request))
        try:
            await asyncio.wait((hearing, playing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (playing, hearing):
                task.cancel()
            await asyncio.wait((hearing, playing))
        self.played += 1
        if self.played >= len(self._course) and not self._repeat:
            self._over.set()
        if not playing.cancelled() and (failure := playing.exception()) is not None:
            raise failure
        return socket

    async def _play(
        self, stretch: Stretch, client: _Client, request: web.Request
    ) -> None:
        """Send what the server sent, and end as it did."""
        loop = asyncio.get_running_loop()
        began, passed = loop.time(), 0
        with contextlib.suppress(ConnectionError):  # the client is gone
            for entry in read(self._path):
                passed += 1
                if passed % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                if entry.epoch != stretch.epoch:
                    continue
                if entry.sent:
                    # Waiting for the client moves all that follows.
                    waited = await client.catch_up(entry)
                    began += waited
                    continue
                due = began + (entry.at - stretch.began) / self._speed
                await asyncio.sleep(due - loop.time())
                self.sent += await client.play(entry)
                if client.ended:
                    return
            if stretch.ended:
                # There was no close frame: the connection was lost.
                if request.transport is not None:
                    request.transport.abort()
                return
            await client.socket.close(code=_GOING_AWAY, message=b"end of the recording")


class _Client:
    """One client of a replay."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.ended = False
        self._heard = 0
        self._expected = 0
        self._patient = True
        self._hearing = asyncio.Condition()

    async def hear(self) -> None:
        """Count what the client sends, until it leaves."""
        async for message in self.socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                self._heard += 1
                async with self._hearing:
                    self._hearing.notify_all()

    async def catch_up(self, entry: Entry) -> float:
        """Wait for the client to send as many messages as it had; return the seconds.

        A client that sends less than the recorded one is waited for once.
        """
        if not entry.is_message:
            return 0.0
        self._expected += 1
        if self._heard >= self._expected or not self._patient:
            return 0.0
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(_PATIENCE), self._hearing:
                await self._hearing.wait_for(lambda: self._heard >= self._expected)
        except TimeoutError:
            self._patient = False
        return loop.time() - began

    async def play(self, entry: Entry) -> int:
        """Send what an entry holds; return how many messages that was."""
        if entry.kind == "ping" and isinstance(entry.data, bytes):
            await self.socket.ping(entry.data)
        elif entry.kind == "close":
            self.ended = True
            code = entry.code if _may_be_sent(entry.code) else _NORMAL
            await self.socket.close(
                code=code or _NORMAL, message=str(entry.data).encode()
            )
        elif entry.is_message:
            if isinstance(entry.data, str):
                await self.socket.send_str(entry.data)
            else:
                await self.socket.send_bytes(entry.data)
            return 1
        return 0


def _may_be_sent(code: int | None) -> bool:
    if code is None:
        return False
    return code in _SENDABLE or _FIRST_PRIVATE <= code <= _LAST_PRIVATE
