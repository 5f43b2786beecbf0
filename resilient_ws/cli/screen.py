"""What the terminal can show: colours, width, and characters.

Rules: ``NO_COLOR`` and ``TERM=dumb`` turn colours off, and so does a pipe. Whoever
reads a pipe gets whole lines, which are not wrapped.
"""

from __future__ import annotations

import enum
import os
import shutil
import textwrap
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from typing import TextIO

#: A terminal that does not tell its width is as wide as most.
_USUAL_WIDTH: Final = 80
_NARROWEST: Final = 20


class Colour(enum.Enum):
    """The colours in use, by their ANSI codes; each goes with a word that says it."""

    GOOD = "32"
    BAD = "31"
    DOUBTFUL = "33"
    FAINT = "2"
    STRONG = "1"


class Screen:
    """A stream, as far as it can be drawn on.

    Args:
        stream: Where it is drawn: stdout or stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        #: Whether it is a terminal that moves its cursor.
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.has_colours = self.is_terminal and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        """The columns of the terminal, as they are now."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = shutil.get_terminal_size((_USUAL_WIDTH, 24)).columns
        return max(columns or _USUAL_WIDTH, _NARROWEST)

    def can_show(self, text: str) -> bool:
        """Whether the stream's encoding has these characters."""
        try:
            text.encode(self._stream.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def coloured(self, text: str, colour: Colour | None) -> str:
        """Return a text in a colour, if there are colours."""
        if colour is None or not self.has_colours:
            return text
        return f"\x1b[{colour.value}m{text}\x1b[0m"

    def wrapped(self, text: str, *, first: str = "", rest: str = "") -> str:
        """Return a text in lines of the terminal's width, or in one line of a pipe.

        Args:
            text: The text.
            first: What stands before its first line.
            rest: What stands before the others.
        """
        if not self.is_terminal:
            return first + text
        return textwrap.fill(
            text,
            # Text across the whole of a wide terminal is hard to read.
            min(self.width, 100),
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
