"""Whether what a node answered can be the logs of a block.

Pure: told a block and what came, these answer whether it can be, and never what to do
next.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from resilient_ws.feeds.errors import Undecodable
from resilient_ws.feeds.evm.bloom import BloomTest, bloom_of, number_of
from resilient_ws.feeds.evm.log_types import Log, logs_of
from resilient_ws.feeds.json import is_array, is_object


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws.feeds.evm.log_filter import LogFilter
    from resilient_ws.feeds.evm.types import Head

#: How far logs are verified.
Verify: TypeAlias = Literal["hash", "bloom", "receipts"]

#: A bloom that allows what is not in the block more often than this proves nothing. A
#: busy block of Ethereum fills its bloom nearly, and then every filter is allowed.
MAX_CHANCE: Final = 1 / 3


class Plausibility(Enum):
    """Whether an answer can be the logs that were asked for."""

    #: Nothing speaks against it.
    SOUND = "sound"
    #: It is empty, or not all, and the bloom of the block says that there is more.
    SUSPECT = "suspect"
    #: It cannot be the answer: logs of another block, or others than were asked for.
    WRONG = "wrong"


class LogChecks:
    """Checks answers for one filter.

    Args:
        wanted: The filter.
        verify: How far.

    Attributes:
        takes_all: Whether every log is wanted: then a bloom shows also that one of
            several is missing.

    Raises:
        ImportError: The extra ``evm`` is not installed, and ``verify`` needs it.
    """

    __slots__ = ("_bloom", "_wanted", "takes_all")

    def __init__(self, wanted: LogFilter, verify: Verify) -> None:
        self._wanted = wanted
        self._bloom = None if verify == "hash" else BloomTest(wanted)
        self.takes_all = verify != "hash" and not wanted.criteria()

    def of_block(self, head: Head, logs: Sequence[Log]) -> Plausibility:
        """Judge the logs of one block.

        Args:
            head: The block.
            logs: What the node answered.
        """
        if not self.in_order(logs) or any(log.blockHash != head.hash for log in logs):
            return Plausibility.WRONG
        if not logs and self.suspect(head):
            return Plausibility.SUSPECT
        if self.takes_all and not makes_bloom(logs, head):
            return Plausibility.SUSPECT
        return Plausibility.SOUND

    def in_order(self, logs: Sequence[Log]) -> bool:
        """Return whether logs are such as were asked for, in order, and none twice."""
        before = (-1, -1)
        hashes: dict[int, str] = {}
        for log in logs:
            place = (log.blockNumber, log.logIndex)
            if place <= before or not self._wanted.matches(log.address, log.topics):
                return False
            if hashes.setdefault(log.blockNumber, log.blockHash) != log.blockHash:
                return False
            before = place
        return True

    def suspect(self, head: Head) -> bool:
        """Return whether a block without logs should have some, by its bloom."""
        if self._bloom is None or not self._bloom.allows(head.logsBloom):
            return False
        return self.is_telling(head)

    def is_telling(self, head: Head) -> bool:
        """Return whether the bloom of a block can prove something about the filter."""
        if self._bloom is None or not number_of(head.logsBloom):
            return False
        return self._bloom.chance(head.logsBloom) <= MAX_CHANCE

    def is_mute(self, head: Head, *, answered: bool) -> bool:
        """Return whether the bloom of a block is too full, or left zero by the chain.

        Args:
            head: The block.
            answered: Whether it has logs, as the node answered.
        """
        if number_of(head.logsBloom):
            return not self.is_telling(head)
        return answered

    def from_receipts(self, head: Head, receipts: Any) -> list[Log] | None:
        """Return the logs of a block, from all of its receipts.

        Args:
            head: The block.
            receipts: What ``eth_getBlockReceipts`` answered.

        Returns:
            The logs that are wanted; ``None`` where these cannot be the receipts of the
            block: they are of another, or their logs do not make its bloom.

        Raises:
            Undecodable: They are no receipts.
        """
        every = all_logs(receipts)
        if any(log.blockHash != head.hash for log in every):
            return None
        if self._bloom is not None and not makes_bloom(every, head):
            return None
        if head.transactions is not None and len(receipts) != len(head.transactions):
            return None
        wanted = [log for log in every if self._wanted.matches(log.address, log.topics)]
        return wanted if self.in_order(wanted) else None


def all_logs(receipts: Any) -> list[Log]:
    """Return the logs of all receipts.

    Raises:
        Undecodable: They are no receipts.
    """
    if not is_array(receipts):
        raise Undecodable("The node sent something else in place of receipts.")
    logs: list[Log] = []
    for receipt in receipts:
        if not is_object(receipt):
            raise Undecodable("The node sent something else in place of a receipt.")
        logs += logs_of(receipt.get("logs"))
    return logs


def makes_bloom(logs: Sequence[Log], head: Head) -> bool:
    """Return whether logs are all that a block has, as far as its bloom can tell.

    A bloom of zeros with logs is that of a chain which leaves it zero.
    """
    stated = number_of(head.logsBloom)
    if not stated:
        return True
    return stated == bloom_of({v for log in logs for v in (log.address, *log.topics)})
