"""The rules a peer can break, and the close code for each (RFC 6455 section 7.4).

Code that finds a broken rule raises :class:`BrokenRule`; the hot loops return what they
find instead. ``receiver`` catches it and keeps the :class:`Violation` for the engine's
owner, so ``BrokenRule`` never leaves ``protocol/``.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Violation:
    """What the peer did wrong.

    Attributes:
        code: The close code to answer with: 1002, 1007 or 1009.
        text: What the peer did, short enough for a close reason.
    """

    code: int
    text: str


class BrokenRule(Exception):
    """Raised when the peer broke a rule, to stop parsing."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation)
        self.violation = violation


BAD_TEXT: Final = Violation(
    code=1007, text="the server sent a text message that is not UTF-8"
)
BAD_DEFLATE: Final = Violation(
    code=1007, text="the server sent a compressed message that cannot be inflated"
)
#: One violation for both faults, because which of them shows first depends on how much
#: input zlib gets at once.
BAD_DEFLATED_TEXT: Final = Violation(
    code=1007,
    text="the server sent a compressed text message that does not inflate to UTF-8",
)
BAD_REASON: Final = Violation(
    code=1007, text="the server sent a close reason that is not UTF-8"
)


def too_big(size: int, limit: int) -> Violation:
    """Return the violation for a message of at least ``size`` bytes."""
    text = f"a message of at least {size} bytes, above our limit {limit}"
    return Violation(code=1009, text=text)
