"""Text of strangers, made fit to stand in a text of ours.

A close reason, a header, the answer of a proxy, a line of a stored file are chosen by
somebody else. As data they stay what they are (``Close.reason``); in a sentence, a log
or a terminal they pass through here first.
"""

from __future__ import annotations

import re
from typing import Final


#: Characters that ``str.isprintable`` lets pass and that nobody sees: the rest of
#: Unicode's Default_Ignorable_Code_Point. They make two texts look like one.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    r"""Return text in which every character can be seen, on one line.

    Whatever cannot (line breaks and other control characters, the escapes of a
    terminal, marks that turn the direction of writing, characters without width) is
    written as a Python string literal would: ``\n``, ``\x1b``, ``\u202e``. Log what a
    peer sent through this, and it can neither forge a line nor hide one.

    Args:
        text: Any text; printable text comes back as it is.
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
    """Return printable text in double quotes that it cannot leave."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
