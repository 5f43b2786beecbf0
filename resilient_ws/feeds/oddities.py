"""What a server sent and should not have: counted, and told now and then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.throttled_log import ThrottledLog


logger = logging.getLogger("resilient_ws")

#: ``malformed``: not what the protocol allows. ``unexpected``: an answer, or the end of
#: a subscription, that nobody waits for. ``unknown``: an item for nobody.
Kind: TypeAlias = Literal["malformed", "unexpected", "unknown"]


@attrs.frozen(kw_only=True)
class MessageOdd:
    """A message of the server was of no use: what ``Channel(report=...)`` is told.

    Attributes:
        kind: ``"malformed"`` (the protocol does not allow it), ``"unexpected"`` (an
            answer that nobody waits for) or ``"unknown"`` (an item for nobody).
        what: What is wrong with it, without its data.
    """

    kind: Kind
    what: str


class Oddities:
    """Counts odd messages by their kind.

    Args:
        log: Where they are told.
        report: Called with each; ``None`` for nobody.
    """

    def __init__(
        self, log: ThrottledLog, report: Callable[[MessageOdd], None] | None
    ) -> None:
        self._log = log
        self._report = report
        self.counts: dict[Kind, int] = {"malformed": 0, "unexpected": 0, "unknown": 0}

    def count(self, kind: Kind, what: str) -> None:
        """Count a message; tell of it at most once a minute in the log."""
        self.counts[kind] += 1
        text = "the server sent a message that is %s: %s (%d so far)"
        self._log.warn(kind, text, kind, what, self.counts[kind])
        if self._report is None:
            return
        try:
            self._report(MessageOdd(kind=kind, what=what))
        except Exception:
            logger.exception("The report callable of a channel failed")
