"""A program in a namespace that says what happens as JSON lines.

Rules: a line is kept with the time its writer stamped it; what is no JSON is kept for
an error's text; nothing that was started outlives the ``async with``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import Any, Final, Self, TypeAlias

from benchmarks.reliability.network import ROOT, Host


Line: TypeAlias = dict[str, Any]

_ENDING: Final = 5.0
#: How long a program may take to start; the machine may be busy starting others.
_STARTING: Final = 30.0


class Program:
    """One child process; ``lines`` holds what it said so far."""

    def __init__(
        self,
        host: Host,
        *words: str,
        starting: asyncio.Semaphore,
        ready: str | None = None,
    ) -> None:
        self.lines: list[Line] = []
        # It dies with us, also when it is frozen and we are killed.
        self._command = host.inside("setpriv", "--pdeathsig", "KILL", "--", *words)
        # Starting is what costs CPU time, and would disturb the clocks of others.
        self._starting = starting
        # What a program says that does not speak JSON.
        self._ready = ready
        self._errors: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._grown = asyncio.Condition()
        self._over = True

    async def __aenter__(self) -> Self:
        try:
            async with self._starting:
                await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended, and all it said was read."""
        return self._over

    @property
    def complaint(self) -> str:
        """The last lines it wrote that are no JSON: a traceback, as a rule."""
        return "\n".join(self._errors[-8:])

    async def start(self) -> None:
        """Start it, again after a kill, and wait until it says that it is ready."""
        since = time.monotonic()
        self._over = False
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1024 * 1024,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        if not await self.until("ready", within=_STARTING, since=since):
            raise RuntimeError(f"{self._command} did not start: {self.complaint}")

    async def kill(self) -> None:
        """End it with SIGKILL, and wait for that."""
        if self._process is None or self._reading is None:
            return
        if self._process.returncode is None:
            # Not its own kill, which would reap what the event loop waits for.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        async with asyncio.timeout(_ENDING):
            await self._process.wait()
            await self._reading

    def freeze(self) -> None:
        """Stop it with SIGSTOP: its sockets stay open, and the kernel takes bytes."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)

    async def order(self, what: str, **fields: object) -> None:
        """Tell it to do something, on its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        await self._process.stdin.drain()

    def said(self, *events: str, since: float = 0.0, **fields: object) -> list[Line]:
        """Its lines of these kinds and with these values, since that time."""
        return [
            line
            for line in self.lines
            if line["event"] in events
            and line["at"] >= since
            and all(line.get(name) == value for name, value in fields.items())
        ]

    async def until(
        self, *events: str, within: float, since: float = 0.0, **fields: object
    ) -> Line | None:
        """Wait for such a line; ``None`` when none came in time, or the end."""
        deadline = time.monotonic() + within
        async with self._grown:
            while not (found := self.said(*events, since=since, **fields)):
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    return None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._grown.wait(), left)
        return found[0]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            text = raw.decode(errors="replace")
            if text.startswith("{"):
                self.lines.append(json.loads(text))
            else:
                self._errors.append(text.rstrip())
                if self._ready is not None and self._ready in text:
                    self.lines.append({"event": "ready", "at": time.monotonic()})
            async with self._grown:
                self._grown.notify_all()

        async with self._grown:
            self._over = True
            self._grown.notify_all()
