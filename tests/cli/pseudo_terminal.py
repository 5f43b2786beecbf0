"""The command on a terminal of its own: what it draws, and keys for it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from typing import TYPE_CHECKING, Self

from tests.cli.command import SOON
from tests.servers.process import interruptible


if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class OnTerminal:
    """One run of ``resilient-ws`` on a pseudo-terminal; ended with the block."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._columns = columns
        base = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
        self._environment = {**base, "TERM": "xterm", **(environment or {})}
        self._main = -1
        self._process: asyncio.subprocess.Process | None = None
        self._arrived = asyncio.Event()
        #: All that was drawn, with and without escapes.
        self.raw = ""

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw)

    async def __aenter__(self) -> Self:
        self._main, side = pty.openpty()
        size = struct.pack("HHHH", 24, self._columns, 0, 0)
        fcntl.ioctl(side, termios.TIOCSWINSZ, size)
        with interruptible():
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                # The terminal must be the one that the process is in the foreground of.
                "import fcntl, os, sys, termios\n"
                "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
                "os.execv(sys.executable, [sys.executable, '-m', 'resilient_ws', *sys.argv[1:]])",
                *self._arguments,
                stdin=side,
                stdout=side,
                stderr=side,
                env=self._environment,
            )
        os.close(side)
        asyncio.get_running_loop().add_reader(self._main, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._main)
        os.close(self._main)

    def _read(self) -> None:
        try:
            self.raw += os.read(self._main, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self._main)
        self._arrived.set()

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    async def shows(self, text: str) -> None:
        """Wait until this was drawn."""
        try:
            async with asyncio.timeout(SOON):
                while text not in self.text:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not drawn, but {self.text!r}") from None

    async def ended(self) -> int:
        assert self._process is not None
        async with asyncio.timeout(SOON):
            return await self._process.wait()
