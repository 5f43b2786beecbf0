"""The demo's hold on its server: start it, hurt it, read what it logs.

Rules: a server process is ended by its pid, whatever happens, and awaited; its port
stays bound here while it is down, so that a client that dials it is refused, and is
not handed the very port it dials as its own.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from resilient_ws.cli.feed_server import HOST


if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_START: Final = 10.0
_END: Final = 2.0


class DemoFailed(Exception):
    """The demo cannot go on; its text says why."""


class FeedProcess:
    """One server after another, at one address; ``log`` is what they all logged."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self._noise: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind((HOST, 0))

    @property
    def url(self) -> str:
        """Where to dial it."""
        return f"ws://{HOST}:{self._port.getsockname()[1]}/feed"

    async def __aenter__(self) -> Self:
        """Start the first one."""
        try:
            await self.start()
        except BaseException:
            await self._release()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the last one: by closing its stdin, and if need be by force."""
        await self._release()

    async def _release(self) -> None:
        process = self._process
        try:
            if process is not None and process.returncode is None:
                assert process.stdin is not None  # noqa: S101 - it is a pipe
                process.stdin.close()
                async with asyncio.timeout(_END):
                    await process.wait()
        except TimeoutError:
            pass
        finally:
            self._port.close()
            await self.kill()

    async def start(self) -> None:
        """Start a server that continues the numbers of the last one."""
        numbers = [entry["number"] for entry in self.entries("sent")]
        began = len(self.log)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "resilient_ws.cli.feed_server",
                str(self._port.getsockname()[1]),
                str(max(numbers, default=0) + 1),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C must reach only the demo, which then ends the server. If the
                # demo is killed while the server is frozen, the kernel wakes and hangs
                # up the orphaned process group.
                process_group=0,
            )
        except OSError as failure:
            msg = f"The demo could not start its server: {failure.strerror}."
            raise DemoFailed(msg) from None
        self._reading = asyncio.create_task(self._read(self._process))
        await self.until(
            lambda: any(e["event"] == "listening" for e in self.log[began:]), _START
        )

    async def kill(self) -> None:
        """SIGKILL: it says nothing, and its sockets are closed by the kernel."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM: it closes its connections with 1001, and ends."""
        await self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody is behind them."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def tell(self, command: str) -> None:
        """Give it a command."""
        process = self._process
        assert process is not None  # noqa: S101 - started
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(command.encode() + b"\n")
        await process.stdin.drain()

    def entries(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged of one kind."""
        return [entry for entry in self.log if entry["event"] == event]

    async def until(self, condition: Callable[[], bool], within: float) -> None:
        """Wait until the log makes something true.

        Raises:
            DemoFailed: It did not in time, or the server has ended.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
                    if self._reading is not None and self._reading.done():
                        break
        except TimeoutError:
            pass
        if not condition():
            said = " ".join(self._noise[-3:]) or "it said nothing"
            msg = f"The demo's server did not do as told within {within:g} s: {said}"
            raise DemoFailed(msg)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is not None:
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            async for line in process.stdout:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    # A line that a kill cut short, or a complaint.
                    self._noise.append(line.decode(errors="replace").strip())
                self._news.set()
        finally:
            self._news.set()
