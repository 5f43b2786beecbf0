"""Makes text that others wrote safe to show.

Others choose the text of a close reason, a header, the answer of a proxy or a line of a
stored file. As data it stays unchanged (``Close.reason``); before it goes into a
sentence, a log or a terminal, it passes through this module.
"""

from __future__ import annotations

import re
from typing import Final


#: Invisible characters that ``str.isprintable`` accepts: the rest of Unicode's
#: Default_Ignorable_Code_Point. They make different texts look the same.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    r"""Return text on one line, with its invisible characters escaped.

    Line breaks and other control characters, terminal escapes, marks that change the
    direction of writing and characters without width are written as in a Python string
    literal: ``\n``, ``\x1b``, ``\u202e``. Use this to log what a peer sent, so that the
    peer can neither forge nor hide a line of the log.

    Args:
        text: Any text; printable text is returned unchanged.
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(
        c
        if c.isprintable() and not _UNSEEN.match(c)
        else c.encode("unicode_escape").decode()
        for c in text
    )


def quoted(text: str) -> str:
    """Return printable text in double quotes, with quotes inside it escaped."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
