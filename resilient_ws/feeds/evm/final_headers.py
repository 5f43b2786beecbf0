"""The headers of final blocks, and which of them contradict what a range answered.

Rules: a range that leaves out the logs of a block looks like one without any, so the
bloom of each block without logs is looked at, which is one call a block at most. Where
the blooms of a chain prove nothing, because they are nearly full or left zero, only the
last block of each range is looked at, which was fetched with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.errors import CallTimeout, RPCError, Undecodable
from resilient_ws.feeds.evm.block_logs import FIRST_PAUSE
from resilient_ws.feeds.evm.log_checks import Plausibility
from resilient_ws.feeds.evm.node_calls import header
from resilient_ws.feeds.evm.types import Head, head_of


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.feeds.evm.log_checks import LogChecks
    from resilient_ws.feeds.evm.log_ranges import RangeOfLogs
    from resilient_ws.feeds.evm.log_types import Log
    from resilient_ws.feeds.evm.node_calls import NodeCalls


#: Blooms in sequence that prove nothing, after which the next are not fetched.
MUTE_BLOOMS: Final = 64


class FinalHeaders:
    """Asks for headers, and looks at their blooms.

    Args:
        calls: The node.
        checks: Judges blocks and their logs.
        patience: Seconds that the node may take to have what it should have.
    """

    __slots__ = ("_calls", "_checks", "_mute", "_patience")

    def __init__(self, calls: NodeCalls, checks: LogChecks, *, patience: float) -> None:
        self._calls = calls
        self._checks = checks
        self._patience = patience
        # Blooms that proved nothing, since one did.
        self._mute = 0

    async def at(self, number: int) -> Head | None:
        """Return a header, if the node finds it in time.

        Cancellation:
            The answer is no longer expected.
        """
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._patience, FIRST_PAUSE
        while (head := await self._once(number)) is None:
            left = end - loop.time()
            if left <= 0:
                return None
            await asyncio.sleep(min(pause, left))
            pause *= 2
        return head

    async def in_doubt(
        self, answer: RangeOfLogs, last: Head, logs: Mapping[int, tuple[Log, ...]]
    ) -> list[Head] | None:
        """Return the blocks of a range that have more logs than were answered.

        Args:
            answer: The range.
            last: Its last block.
            logs: What was answered, by block.

        Returns:
            The blocks that their blooms put in doubt; ``None`` where the node does not
            have one of them.

        Cancellation:
            The answers are no longer expected.
        """
        heads: list[Head | None] = [last]
        if self._mute < MUTE_BLOOMS:
            numbers = [
                number
                for number in range(answer.first, answer.last)
                if self._checks.takes_all or number not in logs
            ]
            heads = [*await asyncio.gather(*map(self.at, numbers)), last]
        doubtful: list[Head] = []
        for head in heads:
            if head is None:
                return None
            self._look(head, answered=head.number in logs)
            found = logs.get(head.number, ())
            if self._checks.of_block(head, found) is not Plausibility.SOUND:
                doubtful.append(head)
        return doubtful

    def _look(self, head: Head, *, answered: bool) -> None:
        """Take note of whether a bloom can prove anything."""
        if self._checks.is_mute(head, answered=answered):
            self._mute += 1
        elif self._checks.is_telling(head):
            self._mute = 0

    async def _once(self, number: int) -> Head | None:
        try:
            sent = await self._calls.ask("eth_getBlockByNumber", *header(number))
            head = None if sent is None else head_of(sent)
        except (CallTimeout, RPCError, Undecodable):
            return None
        return head if head is not None and head.number == number else None
