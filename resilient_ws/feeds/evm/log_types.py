"""What a contract emitted, and the blocks of it that ``logs`` tells."""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from resilient_ws.feeds.errors import Undecodable
from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.hexadecimal import block_hash, data, quantity
from resilient_ws.feeds.evm.types import BlockRef
from resilient_ws.feeds.json import is_array, is_object


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A log, with the field names of the execution API.

    Attributes:
        address: The contract that emitted it.
        topics: Its topics, at most four.
        data: Its data.
        blockNumber: The height of its block.
        blockHash: The hash of its block.
        transactionHash: The hash of its transaction.
        transactionIndex: The place of the transaction in the block.
        logIndex: Its place among the logs of the block.
        blockTimestamp: Seconds since 1970; ``None`` where the node does not send it.
        extra: What else the node sent, as it came.
    """

    address: str
    topics: tuple[str, ...]
    data: str
    blockNumber: int
    blockHash: str
    transactionHash: str
    transactionIndex: int
    logIndex: int
    blockTimestamp: int | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])

    @property
    def block(self) -> BlockRef:
        """The block that it is in."""
        return BlockRef(number=self.blockNumber, hash=self.blockHash)


@attrs.frozen(kw_only=True)
class BlockLogs:
    """The logs of a block: apply them.

    Attributes:
        head: The block. It is a ``Head``, with all that a header has, or a ``BlockRef``
            in blocks that were already finalized when they were fetched: their headers
            are not asked for.
        logs: Its logs in the order of the block; a ``Head`` may have none, a
            ``BlockRef`` has some.
        cursor: The position behind the block, to store with its effect.
    """

    head: BlockRef
    logs: tuple[Log, ...]
    cursor: Cursor


_KNOWN: Final = frozenset(
    {*Log.__struct_fields__, "removed"} - {"extra", "blockTimestamp"}
)


def logs_of(value: Any) -> list[Log]:
    """Make logs of what a node sent.

    Raises:
        Undecodable: It is no array of logs, or a field is malformed.
    """
    if not is_array(value):
        raise Undecodable("The node sent something else in place of logs.")
    return [log_of(each) for each in value]


def log_of(value: Any) -> Log:
    """Make a log of what a node sent.

    Raises:
        Undecodable: It is no log, one of its fields is malformed, or it is of no block.
    """
    if not is_object(value):
        raise Undecodable("The node sent something else in place of a log.")
    time = value.get("blockTimestamp")
    try:
        return Log(
            address=data(value.get("address")),
            topics=tuple(map(block_hash, _array(value.get("topics")))),
            data=data(value.get("data")),
            blockNumber=quantity(value.get("blockNumber")),
            blockHash=block_hash(value.get("blockHash")),
            transactionHash=block_hash(value.get("transactionHash")),
            transactionIndex=quantity(value.get("transactionIndex")),
            logIndex=quantity(value.get("logIndex")),
            blockTimestamp=None if time is None else quantity(time),
            extra={
                name: sent
                for name, sent in value.items()
                if name not in _KNOWN and name != "blockTimestamp"
            },
        )
    except ValueError as failure:
        raise Undecodable(f"A field of a log is {failure}.") from None


def _array(value: Any) -> list[Any]:
    if not is_array(value):
        raise ValueError(f"not an array: {type(value).__name__}")
    return value
