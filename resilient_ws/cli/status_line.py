"""The last line of a terminal, which is drawn anew as things change.

Rules: whatever is printed goes above it, in one write, so that it never flickers and
never ends up in the middle of the output. It is gone when the command ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from resilient_ws.cli.screen import Colour
from resilient_ws.cli.stdio import StreamFailed


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.cli.lines import LineOutput
    from resilient_ws.cli.screen import Screen

#: Seconds between two looks at what is to be drawn.
_INTERVAL: Final = 0.1
_CLEAR: Final = "\r\x1b[K"


class StatusLine:
    """A line at the bottom of the terminal.

    Args:
        text: Returns what to show, for as many columns as it is given.
        output: The terminal.
        screen: What it can show.
    """

    def __init__(
        self, text: Callable[[int], str], output: LineOutput, screen: Screen
    ) -> None:
        self._text = text
        self._output = output
        self._screen = screen
        self._drawn = ""

    async def remark(self, line: str) -> None:
        """Print a line above, that is told from the output by its colour."""
        wrapped = self._screen.wrapped(line, rest="  ").split("\n")
        faint = [self._screen.coloured(one, Colour.FAINT) for one in wrapped]
        await self.print("\n".join(faint))

    async def print(self, line: str, output: LineOutput | None = None) -> None:
        """Print a line above, to the terminal or to another stream that is one."""
        if self._drawn:
            self._drawn = self._text(self._screen.width - 1)
        # Without this a long line would leave parts of the old status behind it.
        await (output or self._output).put(f"{_CLEAR}{line}\n{self._drawn}")

    async def run(self) -> None:
        """Draw the line whenever it has changed, until cancelled; then clear it."""
        try:
            with contextlib.suppress(OSError, StreamFailed):
                while True:
                    await self.draw()
                    await asyncio.sleep(_INTERVAL)
        finally:
            self._drawn = ""
            with contextlib.suppress(OSError, StreamFailed):
                self._output.put_at_once(_CLEAR)

    async def draw(self) -> None:
        """Draw the line now, if it has changed."""
        # The last column stays free: some terminals wrap there.
        text = self._text(self._screen.width - 1)
        if text != self._drawn:
            self._drawn = text
            await self._output.put(f"{_CLEAR}{text}")
