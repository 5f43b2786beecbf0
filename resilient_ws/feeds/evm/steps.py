"""What the tracker says is to be done, and what it is answered.

The tracker is a generator: it yields one of these steps; its driver (``Drive``, or a
test) carries the step out, and sends the answer in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal, TypeAlias, TypeVar

import attrs

from resilient_ws.feeds.errors import FeedError
from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.types import BlockRef, Head


R = TypeVar("R")

#: Names a request that was sent: whatever the driver likes.
Ticket: TypeAlias = Any


@attrs.frozen
class BlockQuery:
    """Which block is asked for.

    Attributes:
        by: ``"number"``, ``"hash"``, or ``"tag"`` (latest, safe, finalized).
        what: The number, the hash or the tag.
    """

    by: Literal["number", "hash", "tag"]
    what: int | str


@attrs.frozen
class BlockFound:
    """What came of a request for a block.

    Attributes:
        head: The block; ``None`` where the node has none, or failed.
        failure: Why there is none, if the node gave a reason.
        at: The time, in seconds of any clock.
    """

    head: Head | None
    failure: FeedError | None = None
    at: float = 0.0


@attrs.frozen
class SendQuery:
    """Ask the connection for a block. The answer is a ticket, at once."""

    query: BlockQuery


@attrs.frozen
class TakeAnswer:
    """Wait for what a request brings. The answer is a ``BlockFound``."""

    ticket: Ticket


@attrs.frozen
class DropQueries:
    """Expect no answers to these requests any more."""

    tickets: Iterable[Ticket]


@attrs.frozen
class Pause:
    """Wait, in seconds."""

    seconds: float


@attrs.frozen
class AwaitHint:
    """Wait until ``tracker.fresh``, at most as many seconds.

    The answer is whether it is.
    """

    seconds: float


@attrs.define
class Accept:
    """Tell blocks, which follow the last one that was told.

    Attributes:
        heads: The blocks, oldest first.
        live: Whether they were just announced; otherwise they are being caught up with,
            and more of them follow at once.
        told: How many of them were told. The driver counts here, so that a
            connection that ends in the middle costs none, and tells none twice.
    """

    heads: tuple[Head, ...]
    live: bool
    told: int = 0


@attrs.define
class Undo:
    """Tell that blocks are not of the chain any more.

    Attributes:
        ancestor: The block on which the chain goes on.
        removed: The blocks, newest first.
        cursor: The position of the ancestor.
        told: Whether it was told. The driver sets it.
    """

    ancestor: BlockRef
    removed: tuple[BlockRef, ...]
    cursor: Cursor
    told: bool = False


@attrs.define
class TellGap:
    """Tell that blocks could not be had, or may be wrong.

    Attributes:
        first: The height of the first of them, ``None`` where it is not known.
        until: The height of the last.
        because: Why.
        told: Whether it was told. The driver sets it.
    """

    first: int | None
    until: int
    because: FeedError
    told: bool = False


@attrs.define
class Bypass:
    """Tell what is in finalized blocks, for which no headers are needed.

    Yielded only where the tracker was made with ``bypass=True``.

    Attributes:
        first: The height of the first block.
        last: The height of the last, which is final.
        cursor_of: Returns the position of a block among them.
        told: The last block through which all was told; ``None`` if there is none.
            The driver sets it, as far as it comes.
    """

    first: int
    last: int
    cursor_of: Callable[[BlockRef], Cursor]
    told: BlockRef | None = None


@attrs.frozen
class NewConnection:
    """Ask for another connection, which begins anew. An answer means there is none.

    Attributes:
        reason: Why, for the log.
    """

    reason: str


@attrs.frozen
class Remark:
    """Tell whoever operates the program, and not the consumer. There is no answer.

    Attributes:
        kind: What it is about: of one kind, few are told.
        text: The remark.
    """

    kind: str
    text: str


@attrs.frozen
class Resubscribe:
    """Subscribe to announcements anew, and begin anew: there is no answer."""


class StartOver(Exception):
    """Raised by a teller: what the tracker found is out of date.

    A block that the tracker found was replaced before its logs could be fetched. What
    was not told comes again, as it is then.
    """


Step: TypeAlias = (
    SendQuery
    | TakeAnswer
    | DropQueries
    | Pause
    | AwaitHint
    | Accept
    | Undo
    | TellGap
    | Bypass
    | NewConnection
    | Remark
    | Resubscribe
)
#: A part of the tracker's work: yields steps, is sent their answers.
Steps: TypeAlias = Generator[Step, Any, R]
