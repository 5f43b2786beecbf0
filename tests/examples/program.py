"""An example as its user runs it: a process, and the lines it prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Self

import pytest

from tests.servers.process import ROOT, interruptible


if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path


class Program:
    """``python examples/NAME ARGUMENTS``, with both outputs as one list of lines."""

    def __init__(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.lines: list[str] = []
        # Lines are awaited one by one, and a pipe would hold them back.
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._environment.update(environment or {})
        self._folder = folder
        self._command = (sys.executable, str(ROOT / "examples" / name), *arguments)

    async def __aenter__(self) -> Self:
        with interruptible():
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        self._said = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._said:
                self.lines.append(line.decode().rstrip("\n"))
                self._said.notify_all()

    def all_of(self, beginning: str) -> list[str]:
        """The lines so far that begin so."""
        return [line for line in self.lines if line.startswith(beginning)]

    async def said(
        self, beginning: str, *, count: int = 1, within: float = 15.0
    ) -> str:
        """Wait for the ``count``-th line that begins so, and return it."""
        try:
            async with asyncio.timeout(within), self._said:
                await self._said.wait_for(lambda: len(self.all_of(beginning)) >= count)
        except TimeoutError:
            pytest.fail(f"no {count} x {beginning!r} in {within} s: {self.lines}")
        return self.all_of(beginning)[count - 1]

    async def printed(
        self, line: re.Pattern[str], *, after: int = 0, within: float = 15.0
    ) -> int:
        """Wait for a line that matches, behind so many; return how many are then read."""

        def found() -> int:
            for number, one in enumerate(self.lines[after:], after + 1):
                if line.fullmatch(one):
                    return number
            return 0

        try:
            async with asyncio.timeout(within), self._said:
                await self._said.wait_for(found)
        except TimeoutError:
            pytest.fail(f"no {line.pattern!r} in {within} s: {self.lines}")
        return found()

    async def ended(self, *, within: float = 60.0) -> int:
        """Wait for its end; return the exit code."""
        try:
            async with asyncio.timeout(within):
                # Its last words first.
                await asyncio.shield(self._reader)
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"still running after {within} s: {self.lines}")

    async def interrupted(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return await self.ended()
