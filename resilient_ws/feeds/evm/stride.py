"""How many blocks one request for logs covers.

Rules: a stride begins small, because nobody knows how much is in the blocks ahead, and
an answer must fit into one message. It doubles while nothing was refused, and then
settles between the widest range that was given and the narrowest that was refused. A
limit that the node states is kept for good. A stride is never below one block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.evm.refusals import Refusal


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.limits import Limits
    from resilient_ws.feeds.evm.refusals import Understood


#: Blocks of the first range.
FIRST: Final = 32
#: Ranges that are given before a wider one is tried, after one was refused.
GIVEN_BEFORE_WIDER: Final = 4
#: Ranges that are given before what was refused is forgotten.
GIVEN_BEFORE_FORGOTTEN: Final = 64


class Stride:
    """The number of blocks in the next range.

    Args:
        limits: The most blocks, and the logs that an answer should hold.
    """

    __slots__ = (
        "_density",
        "_given",
        "_refused",
        "_results",
        "_streak",
        "_widest",
        "blocks",
    )

    def __init__(self, limits: Limits) -> None:
        self._widest = limits.max_range
        self._results = limits.max_results
        #: How many blocks to ask for; at least one.
        self.blocks = min(FIRST, self._widest)
        # The widest that was given and the narrowest that was refused since.
        self._given = 0
        self._refused: int | None = None
        self._streak = 0
        # Logs a block, lately; it falls slowly and rises at once.
        self._density = 0.0

    @property
    def density(self) -> float:
        """Logs a block, as the answers had them lately."""
        return self._density

    @property
    def proven(self) -> int:
        """The blocks of the widest range that was given and would be again; or 0."""
        return min(self._given, self.blocks)

    @property
    def settled(self) -> bool:
        """Whether a wider range is known to be of no use, or to be refused."""
        return self._refused is not None or self.blocks >= min(
            self._widest, self._full()
        )

    def refused(self, asked: int, understood: Understood) -> None:
        """Take note of a range that was refused.

        Args:
            asked: The blocks in it.
            understood: What the node said.
        """
        if asked > self.blocks:
            return  # one of several that were under way: the first has told
        self._streak = 0
        hint = understood.blocks
        narrower = asked // 2 if hint is None else min(hint, asked - 1)
        self.blocks = max(1, narrower)
        if hint is not None and understood.refusal is Refusal.TOO_WIDE:
            self._widest = self.blocks
            self._refused = None
        else:
            self._refused = asked
        self._given = min(self._given, self.blocks)

    def given(self, asked: int, logs: int) -> None:
        """Take note of a range that was given.

        Args:
            asked: The blocks in it.
            logs: The logs that came.
        """
        seen = logs / asked
        self._density = max(seen, self._density + (seen - self._density) / 4)
        if asked >= self.blocks:
            self._given = asked
            self._streak += 1
            self.blocks = min(self._wider(), self._widest)
        self.blocks = max(1, min(self.blocks, self._full()))

    def _full(self) -> int:
        """Return how many blocks hold as many logs as an answer should."""
        if self._density * self._widest <= self._results:
            return self._widest
        return int(self._results / self._density)

    def _wider(self) -> int:
        if self._refused is None:
            return self._given * 2
        if self._streak % GIVEN_BEFORE_WIDER:
            return self.blocks
        if self._streak >= GIVEN_BEFORE_FORGOTTEN:
            self._refused = None
            self._streak = 0
            return self._given + max(1, self._given // 4)
        between = (self._given + self._refused) // 2
        # Not for a few blocks: each attempt that fails costs a call.
        return between if between > self._given * 1.1 else self.blocks
