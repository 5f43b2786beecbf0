"""What a server sent and should not have: counted, and told now and then."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger("resilient_ws")

#: Seconds for which a line of a kind is not repeated.
SAY_AGAIN_AFTER: Final = 60.0

#: ``malformed``: not what the protocol allows; ``unexpected``: allowed, and for nobody.
Kind: TypeAlias = Literal["malformed", "unexpected"]


@attrs.frozen(kw_only=True)
class MessageOdd:
    """A message of the server was of no use: what ``Channel(report=...)`` is told.

    Attributes:
        kind: ``"malformed"`` (the protocol does not allow it) or ``"unexpected"`` (an
            answer or an item for nobody).
        what: What is wrong with it, without its data.
    """

    kind: Kind
    what: str


class Oddities:
    """Counts odd messages by their kind.

    Args:
        name: What the log calls the channel.
        clock: The clock of the loop.
        report: Called with each; ``None`` for nobody.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float],
        report: Callable[[MessageOdd], None] | None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._report = report
        self._said = dict[Kind, float]()
        self.counts: dict[Kind, int] = {"malformed": 0, "unexpected": 0}

    def count(self, kind: Kind, what: str) -> None:
        """Count a message; tell of it at most once a minute in the log."""
        self.counts[kind] += 1
        now = self._clock()
        if now - self._said.get(kind, -math.inf) >= SAY_AGAIN_AFTER:
            self._said[kind] = now
            logger.warning(
                "%s: the server sent a message that is %s: %s (%d so far)",
                self._name,
                kind,
                what,
                self.counts[kind],
            )
        if self._report is None:
            return
        try:
            self._report(MessageOdd(kind=kind, what=what))
        except Exception:
            logger.exception("%s: the report callable failed", self._name)
