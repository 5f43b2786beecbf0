"""What a chain is made of, with the field names of the execution API.

Quantities are ``int``, data is lower-case text (see ``hexadecimal``), and what a node
sends beside the known fields is kept, as it came, in ``extra``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from resilient_ws.feeds.errors import Undecodable
from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.hexadecimal import block_hash, data, quantity
from resilient_ws.feeds.json import is_array, is_object


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard


class BlockRef(msgspec.Struct, frozen=True, kw_only=True):
    """A block of which no more is known than its number and its hash.

    Attributes:
        number: Its height.
        hash: Its hash.
    """

    number: int
    hash: str


class Head(BlockRef, frozen=True, kw_only=True):
    """The header of a block.

    A field that the node did not send is ``None``. A head that was announced has no
    ``transactions``, ``uncles``, ``withdrawals`` and ``size``: announcements are
    headers. Two heads are equal if all their fields are.

    Attributes:
        parentHash: The hash of the block before it.
        timestamp: Seconds since 1970.
        transactions: The hashes of its transactions.
        extra: What else the node sent, as it came.
    """

    parentHash: str
    timestamp: int
    sha3Uncles: str | None = None
    miner: str | None = None
    stateRoot: str | None = None
    transactionsRoot: str | None = None
    receiptsRoot: str | None = None
    logsBloom: str | None = None
    difficulty: int | None = None
    totalDifficulty: int | None = None
    gasLimit: int | None = None
    gasUsed: int | None = None
    extraData: str | None = None
    mixHash: str | None = None
    nonce: str | None = None
    baseFeePerGas: int | None = None
    withdrawalsRoot: str | None = None
    blobGasUsed: int | None = None
    excessBlobGas: int | None = None
    parentBeaconBlockRoot: str | None = None
    requestsHash: str | None = None
    blockAccessListHash: str | None = None
    slotNumber: int | None = None
    size: int | None = None
    transactions: tuple[Any, ...] | None = None
    uncles: tuple[str, ...] | None = None
    withdrawals: tuple[Any, ...] | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    _cursor: Cursor | None = None

    def __hash__(self) -> int:
        """Hash by the hash of the block."""
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        """Compare what the node sent."""
        if not isinstance(other, Head):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    @property
    def cursor(self) -> Cursor:
        """The position of the block in the chain as it was told: store ``str`` of it.

        Raises:
            ValueError: The head did not come from ``heads`` or ``logs``.
        """
        if self._cursor is None:
            raise ValueError("Only a head that a stream yielded has a cursor.")
        return self._cursor

    @property
    def is_placed(self) -> bool:
        """Whether the head has a cursor."""
        return self._cursor is not None

    def place(self, cursor: Cursor) -> None:
        """Give the head its position: for the tracker alone, before it is told."""
        msgspec.structs.force_setattr(self, "_cursor", cursor)


_FIELDS: Final = tuple(
    name for name in Head.__struct_fields__ if not name.startswith("_")
)


@attrs.frozen(kw_only=True)
class Reorg:
    """Blocks that were told are not of the chain any more: undo them, newest first.

    The blocks that took their place follow as ordinary items.

    Attributes:
        ancestor: The block on which the chain goes on.
        removed: The blocks to undo, newest first. One is a ``BlockRef`` instead of a
            ``Head`` where it is known from a cursor alone.
        logs: The logs to undo, in the exact reverse order; empty for ``heads``. Those
            of blocks that were told before a restart are not known any more: whoever
            keeps logs finds them by the ``blockHash`` of ``removed``.
        cursor: The position behind the removal, to store with its effect.
    """

    ancestor: BlockRef
    removed: tuple[BlockRef, ...]
    logs: tuple[Any, ...] = ()
    cursor: Cursor

    @property
    def depth(self) -> int:
        """How many blocks were removed."""
        return len(self.removed)


@attrs.frozen(kw_only=True)
class Progress:
    """Everything through a position was told, and there was nothing more to tell.

    Attributes:
        number: The height of the block.
        cursor: The position, to store.
    """

    number: int
    cursor: Cursor


def _items(decode: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def decoded(value: Any) -> tuple[Any, ...]:
        if not is_array(value):
            raise ValueError(f"not an array: {type(value).__name__}")
        return tuple(decode(item) for item in value)

    return decoded


def _transaction(value: Any) -> Any:
    return value if _is_transaction(value) else block_hash(value)


def _is_transaction(value: Any) -> TypeGuard[dict[str, Any]]:
    return is_object(value)


_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        ("number", "timestamp", "difficulty", "totalDifficulty", "gasLimit", "gasUsed"),
        quantity,
    ),
    **dict.fromkeys(
        ("baseFeePerGas", "blobGasUsed", "excessBlobGas", "slotNumber", "size"),
        quantity,
    ),
    **dict.fromkeys(("hash", "parentHash"), block_hash),
    **dict.fromkeys(
        ("sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot"), data
    ),
    **dict.fromkeys(("logsBloom", "extraData", "mixHash", "nonce"), data),
    **dict.fromkeys(("withdrawalsRoot", "parentBeaconBlockRoot", "requestsHash"), data),
    "blockAccessListHash": data,
    "transactions": _items(_transaction),
    "uncles": _items(block_hash),
    "withdrawals": _items(lambda value: value),
}

_REQUIRED: Final = ("number", "hash", "parentHash", "timestamp")


def head_of(value: Any) -> Head:
    """Make a head of what a node sent.

    Raises:
        Undecodable: It is no block, or one of its fields is malformed.
    """
    if not is_object(value):
        raise Undecodable("The node sent something else in place of a block.")
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, sent in value.items():
        decode = _DECODERS.get(name)
        if decode is None:
            extra[name] = sent
        elif sent is not None:
            try:
                known[name] = decode(sent)
            except ValueError as failure:
                text = f"The field {name} of a block is {failure}."
                raise Undecodable(text) from None
    for name in _REQUIRED:
        if name not in known:
            raise Undecodable(f"A block came without the field {name}.")
    return Head(**known, extra=extra)
