"""Keys as they are pressed, without waiting for the end of a line.

Rules: the terminal is as before when the block ends. Ctrl-C stays a signal. A process
in the background does not touch the terminal, or the shell would stop it.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from resilient_ws.cli.lines import chunks


if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

#: What arrows and other keys send.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|.)?")
_BACKSPACE: Final = frozenset({"\x7f", "\b"})
_ERASE_LINE: Final = "\x15"
_END: Final = "\x04"
#: The longest line that can be typed, in characters.
_LONGEST: Final = 64 * 1024


def has_keyboard() -> bool:
    """Whether stdin is a terminal that this process may read from."""
    if sys.stdin is None or os.name != "posix":
        return False
    try:
        descriptor = sys.stdin.fileno()
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, ValueError):
        return False


class Keyboard:
    """Reads keys while the block runs: ``async with Keyboard(loop) as keyboard``.

    Args:
        loop: The running loop, which tells when the process goes on after Ctrl-Z.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._descriptor = sys.stdin.fileno()
        self._before: Any = None

    async def __aenter__(self) -> Self:
        import termios  # noqa: PLC0415 - not on Windows

        self._before = termios.tcgetattr(self._descriptor)
        self._listen()
        self._loop.add_signal_handler(signal.SIGCONT, self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        import termios  # noqa: PLC0415 - not on Windows

        self._loop.remove_signal_handler(signal.SIGCONT)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _listen(self) -> None:
        """Have the terminal send each key at once, and not show it."""
        import termios  # noqa: PLC0415 - not on Windows
        import tty  # noqa: PLC0415 - not on Windows

        with contextlib.suppress(termios.error):
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    async def keys(self) -> AsyncIterator[str]:
        """Yield what is typed: a key, or all that was pasted."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async for chunk in chunks(self._descriptor):
            text = _ESCAPES.sub("", decoder.decode(chunk))
            if text:
                yield text


class LineEditor:
    """Puts keys together to lines: backspace, Ctrl-U, Enter, and Ctrl-D to end.

    Attributes:
        typed: What was typed of the line so far.
    """

    def __init__(self) -> None:
        self.typed = ""
        self.ended = False

    def take(self, keys: str) -> list[str]:
        """Return the lines that these keys complete."""
        lines: list[str] = []
        for key in keys:
            if key in "\r\n":
                lines.append(self.typed)
                self.typed = ""
            elif key in _BACKSPACE:
                self.typed = self.typed[:-1]
            elif key == _ERASE_LINE:
                self.typed = ""
            elif key == _END:
                self.ended = self.ended or not self.typed
            elif (key.isprintable() or key == "\t") and len(self.typed) < _LONGEST:
                self.typed += key
        return lines
