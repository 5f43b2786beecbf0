"""A program under test in its own process; it says what it sees as JSON lines.

Rules: the program, and the server, print one JSON object a line, with ``event``,
``number`` and ``at`` (the monotonic clock, which all processes of a machine share).
``say`` prints one. A program that ends has its last words kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import sys
import time
from typing import Any, Final, Self


ROOT: Final = pathlib.Path(__file__).parent.parent.parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def say(event: str, number: int, **more: object) -> None:
    """Print one line; the server says ``sent`` and ``got``, and so does the program."""
    line = {"event": event, "number": number, "at": time.monotonic(), **more}
    print(json.dumps(line), flush=True)


def now_number(rate: float) -> int:
    """The number of this moment: it goes on over the restarts of a server."""
    return int(time.monotonic() * rate)


class Program:
    """One child process, its lines, and what CPU time it has used."""

    def __init__(self, *command: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self.words: list[str] = []
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._grown = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1024 * 1024,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._reading

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.returncode is not None

    def numbers(self, event: str, *, since: float = 0.0) -> list[int]:
        """The numbers of its lines of one kind."""
        return [
            line["number"]
            for line in self.lines
            if line["event"] == event and line["at"] >= since
        ]

    def cpu(self) -> float:
        """Seconds of CPU time so far; 0 when it has ended."""
        assert self._process is not None
        try:
            stat = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    async def got(self, *, since: float, within: float) -> float | None:
        """Wait for a message got since then; return when, ``None`` for too late."""
        deadline = time.monotonic() + within
        async with self._grown:
            while True:
                for line in self.lines:
                    if line["event"] == "got" and line["at"] >= since:
                        return float(line["at"])
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    return None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._grown.wait(), min(left, 0.5))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            text = raw.decode(errors="replace")
            if text.startswith("{"):
                self.lines.append(json.loads(text))
            else:
                # Warnings would grow without bound.
                self.words = [*self.words[-40:], text.rstrip()]
            async with self._grown:
                self._grown.notify_all()
