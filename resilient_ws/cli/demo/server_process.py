"""The demo's control of its server: start it, hurt it, read what it logs.

Rules: Whatever happens, a server process is ended by its pid and awaited. While it is
down, its port stays bound here: a client that dials is refused, and the kernel does not
give the port to the very connection that dials it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from resilient_ws.cli.demo.server import HOST


if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: Seconds that a server may take to listen.
_START_TIMEOUT: Final = 10.0
#: Seconds that a server may take to end when its stdin has ended.
_END_TIMEOUT: Final = 2.0


class DemoFailed(Exception):
    """The demo cannot go on. The text says why."""


class ServerProcess:
    """One server after another, at one address.

    Attributes:
        log: What all of them logged, in order.
    """

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        #: Lines that are not of the log: complaints, or cut short by a kill.
        self._other_output: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind((HOST, 0))

    @property
    def _port(self) -> int:
        port: int = self._reservation.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The URL to dial."""
        return f"ws://{HOST}:{self._port}/feed"

    async def __aenter__(self) -> Self:
        """Start the first server."""
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
        """End the last server, by force if closing its stdin does not end it."""
        await self._release()

    async def _release(self) -> None:
        process = self._process
        try:
            if process is not None and process.returncode is None:
                assert process.stdin is not None  # noqa: S101 - it is a pipe
                process.stdin.close()
                async with asyncio.timeout(_END_TIMEOUT):
                    await process.wait()
        except TimeoutError:
            pass
        finally:
            self._reservation.close()
            await self.kill()

    async def start(self) -> None:
        """Start a server that continues the numbers of the last one."""
        numbers = [entry["number"] for entry in self.entries("sent")]
        began = len(self.log)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "resilient_ws.cli.demo.server",
                str(self._port),
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
            lambda: any(e["event"] == "listening" for e in self.log[began:]),
            _START_TIMEOUT,
        )

    async def kill(self) -> None:
        """Send SIGKILL. The server says nothing, and the kernel closes its sockets."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Send SIGTERM. The server closes its connections with 1001, and ends."""
        await self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Send SIGSTOP. The sockets stay open, but nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT, which ends a freeze."""
        self._signal(signal.SIGCONT)

    async def tell(self, command: str) -> None:
        """Send the server a line to obey."""
        process = self._process
        assert process is not None  # noqa: S101 - started
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(command.encode() + b"\n")
        await process.stdin.drain()

    def entries(self, event: str) -> list[dict[str, Any]]:
        """Return the entries of the log about one kind of event."""
        return [entry for entry in self.log if entry["event"] == event]

    async def until(self, condition: Callable[[], bool], within: float) -> None:
        """Wait until the log makes a condition true.

        Raises:
            DemoFailed: It did not ``within`` that many seconds, or the server ended.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
                    if self._reading is not None and self._reading.done():
                        break
        except TimeoutError:
            pass
        if not condition():
            said = " ".join(self._other_output[-3:]) or "nothing"
            msg = (
                f"The demo's server did not do what it was told within {within:g} s."
                f" Its last words: {said}"
            )
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
                    text = line.decode(errors="replace").strip()
                    self._other_output.append(text)
                self._changed.set()
        finally:
            self._changed.set()
