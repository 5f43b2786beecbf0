"""The command in a process of its own, as a user has it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from tests.servers.process import interruptible


if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping


#: Seconds. A command starts in half a second, and in twenty on a machine that is busy.
SOON = 60.0
COMMAND = f"{sys.executable} -m resilient_ws.cli"


def run(line: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line; the end of a pipe does not hide the beginning's.

    With buffered streams, as users have them, whatever the tests run with.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


class Command:
    """One run of ``resilient-ws``; ended with the block, whatever happens."""

    def __init__(
        self,
        *arguments: str,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._stdin = asyncio.subprocess.PIPE if stdin is None else stdin
        self._stdout = asyncio.subprocess.PIPE if stdout is None else stdout
        self._stderr = asyncio.subprocess.PIPE if stderr is None else stderr
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        #: The lines of stderr that were read.
        self.errors: list[str] = []

    async def __aenter__(self) -> Self:
        with interruptible():
            await self._start()
        return self

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "resilient_ws.cli",
            *self._arguments,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=self._stderr,
            env=self._environment,
        )

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        # Reads what is left, and so closes the pipes.
        await self.process.communicate()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def write(self, text: str) -> None:
        """Give it something to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        await self.process.stdin.drain()

    async def line(self) -> str:
        """The next line of stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SOON):
            line = await self.process.stdout.readline()
        assert line, "stdout has ended"
        return line.decode().rstrip("\n")

    async def told(self, text: str) -> str:
        """The next line of stderr with this text in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(SOON):
            while raw := await self.process.stderr.readline():
                self.errors.append(raw.decode().rstrip("\n"))
                if text in self.errors[-1]:
                    return self.errors[-1]
        raise AssertionError(f"{text!r} was not told, but {self.errors}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = SOON) -> tuple[int, str]:
        """Its exit code and the rest of stdout; the rest of stderr joins ``errors``."""
        async with asyncio.timeout(within):
            out, err = await self.process.communicate()
        self.errors += (err or b"").decode().splitlines()
        assert self.process.returncode is not None
        assert not any("Traceback" in line for line in self.errors), self.errors
        return self.process.returncode, (out or b"").decode()
