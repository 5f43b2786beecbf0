"""What a peer can do wrong, with the close code that answers it (RFC 6455 section 7.4).

Whatever finds a broken rule raises :class:`Broken`; ``inbound`` catches it, and keeps
the :class:`Violation` for the owner of the engine. It never leaves ``protocol/``.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Violation:
    """What the peer did wrong.

    Attributes:
        code: The close code to answer with: 1002, 1007 or 1009.
        text: What it did, as a sentence that fits a close reason.
    """

    code: int
    text: str


class Broken(Exception):
    """A rule is broken, and nothing more is to be parsed."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation)
        self.violation = violation


BAD_TEXT: Final = Violation(
    code=1007, text="the server sent a text message that is not UTF-8"
)
BAD_DEFLATE: Final = Violation(
    code=1007, text="the server sent a compressed message that cannot be inflated"
)
#: One for both wrongs: which of them zlib shows first is a matter of how much it is
#: given at once.
BAD_DEFLATED_TEXT: Final = Violation(
    code=1007,
    text="the server sent a compressed text message that does not inflate to UTF-8",
)
BAD_REASON: Final = Violation(
    code=1007, text="the server sent a close reason that is not UTF-8"
)


def too_big(size: int, limit: int) -> Violation:
    """Say that a message has at least ``size`` bytes, which is above ``limit``."""
    text = f"a message of at least {size} bytes, above our limit {limit}"
    return Violation(code=1009, text=text)
