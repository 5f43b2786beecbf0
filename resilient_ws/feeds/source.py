"""What a subscription needs to know of its stream, and what it says of its holes."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs

from resilient_ws.feeds.errors import FeedError
from resilient_ws.feeds.requests import Requests
from resilient_ws.policy._validate import (
    check_callables,
    check_seconds_or_none,
    require,
    whole_number,
    wrong_type,
)


T = TypeVar("T")
C = TypeVar("C")
E = TypeVar("E")
N = TypeVar("N")

#: Names one stream among those of a connection; the server or the client chooses it.
Key: TypeAlias = Hashable


class Continuity(enum.Enum):
    """How an item stands to the one before it."""

    #: It is the next: nothing is missing between the two.
    NEXT = "next"
    #: It was there before.
    REPEAT = "repeat"
    #: Something is missing before it.
    JUMP = "jump"
    #: The server began its count anew with it.
    RESET = "reset"


@attrs.frozen(kw_only=True)
class Gap:
    """A hole that could not be filled, in its place among the items.

    Attributes:
        key: The name of the stream, as ``Subscription.id`` has it.
        first_missing: The cursor of the first item that is missing; ``None`` where it
            is not known.
        until: The cursor of the last item that is missing; ``None`` where it is not
            known.
        because: Why it could not be filled.
    """

    key: str
    first_missing: Any = None
    until: Any = None
    because: FeedError


@attrs.frozen(kw_only=True)
class Source(Generic[T, C]):
    """A stream: how to subscribe to it, how its items follow, how to fetch a hole.

    Attributes:
        subscribe: Asks the server for the stream on a new connection, and returns the
            key under which its items will come. An ``OSError`` that it raises, a call
            that got no answer, or a ``RequestRefused`` that is ``temporary``, has it
            called again after a pause; any other exception is a refusal, and ends the
            subscription. ``None`` (default) for a stream that the server sends unasked,
            under ``keys``.
        keys: The keys of a stream that the server sends unasked; none (default) for all
            that no other subscription has.
        unsubscribe: Tells the server that the stream is not needed any more; gets the
            key. ``None`` (default) where the server need not be told.
        parse: Makes an item of what came; ``None`` (default) to take it as it is. One
            that raises leaves a ``Gap`` in the place of the item.
        cursor_of: Returns the position of an item: a number, a hash, a time. ``None``
            (default) for a stream without positions, where each drop leaves a ``Gap``.
        first_of: Returns the first position that an item covers, for the bounds of the
            gap before it; ``None`` (default) where an item has one position.
        begins_at: Returns the position at which a new subscription begins, once it
            stands, so that a drop before the first item is a hole like any other.
            ``None`` (default) where that is not known.
        follows: Tells how an item stands to the cursor of the one before it (``None``
            for the first). By default everything follows.
        backfill: Returns the items after the first cursor, through the second, in
            order; through the newest where the second is ``None``. It needs
            ``cursor_of``, and ``follows`` or ``identity`` to tell repeats. An answer in
            parts will do: it is asked again for the rest, as long as more comes.
            ``None`` (default) for a stream without history.
        resumed: Returns, on a new connection, whether the server kept the stream while
            there was none, and sends what was missed unasked, under ``keys``, so that
            there is no hole. ``None`` (default) where it never does.
        identity: Returns what two items have in common that are the same, to drop
            repeats that ``follows`` cannot tell; ``None`` (default) keeps everything.
        window: How many identities are kept (default 10,000).
        stale_after: Seconds of silence after which the stream is probed, and, if it
            does not answer, subscribed to again; ``None`` (default) for streams that
            may be silent.
        probe: Asks whether the stream lives, and returns whether it does. ``None``
            (default) subscribes again at once.
        name: What ``Subscription.id`` calls the stream; by default it gets a number.

    Raises:
        TypeError: A value of another type.
        ValueError: A number is out of range, or ``backfill`` is alone.
    """

    subscribe: Callable[[Requests], Awaitable[Key]] | None = None
    keys: Collection[Key] = ()
    unsubscribe: Callable[[Requests, Key], Awaitable[object]] | None = None
    parse: Callable[[Any], T] | None = None
    cursor_of: Callable[[T], C] | None = None
    first_of: Callable[[T], C] | None = None
    begins_at: Callable[[], C] | None = None
    follows: Callable[[C | None, T], Continuity] | None = None
    backfill: Callable[[C, C | None], AsyncIterator[T]] | None = None
    resumed: Callable[[], bool] | None = None
    identity: Callable[[T], Hashable] | None = None
    window: int = 10_000
    stale_after: float | None = None
    probe: Callable[[Requests], Awaitable[bool]] | None = None
    name: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse wrong values, and a history whose items cannot be put in order."""
        check_callables(
            subscribe=self.subscribe,
            unsubscribe=self.unsubscribe,
            parse=self.parse,
            cursor_of=self.cursor_of,
            first_of=self.first_of,
            begins_at=self.begins_at,
            follows=self.follows,
            backfill=self.backfill,
            resumed=self.resumed,
            identity=self.identity,
            probe=self.probe,
        )
        right = "a list or a set of keys"
        require(self.keys, Collection, "keys", right)
        if isinstance(self.keys, str | bytes):
            raise wrong_type("keys", right, self.keys)
        whole_number("window", self.window, at_least=0)
        check_seconds_or_none("stale_after", self.stale_after)
        if self.backfill is None:
            return
        if self.cursor_of is None:
            raise ValueError("backfill= needs cursor_of=, to know where to begin.")
        if self.follows is None and self.identity is None:
            raise ValueError("backfill= needs follows= or identity=, to tell repeats.")


# By name, because looking up a member of an enumeration costs each item as much as
# comparing two numbers.
NEXT: Final = Continuity.NEXT
REPEAT: Final = Continuity.REPEAT
JUMP: Final = Continuity.JUMP
RESET: Final = Continuity.RESET

#: What a server sends in place of a number must not become a cursor.
_NO_NUMBER: Final = "The number of an item is not a whole number."


def _successive(last: Any, number: Any) -> Continuity:
    """Tell how a number stands to the one before it, as ``consecutive`` does."""
    if type(number) is not int:
        raise TypeError(_NO_NUMBER)
    if number == last + 1:
        return NEXT
    return REPEAT if number <= last else JUMP


def consecutive(number_of: Callable[[T], int]) -> Callable[[int | None, T], Continuity]:
    """Return a ``follows`` for items that are numbered without holes.

    A number below the last one is a repeat, not a new count.
    """
    return Consecutive(number_of)


class Consecutive(Generic[T]):
    """A ``follows`` for numbered items; it can be asked how it finds their numbers."""

    __slots__ = ("number_of",)

    def __init__(self, number_of: Callable[[T], int]) -> None:
        self.number_of = number_of

    def __call__(self, last: int | None, item: T) -> Continuity:
        """Tell how an item stands to the last number."""
        number = self.number_of(item)
        if type(number) is not int:
            raise TypeError(_NO_NUMBER)
        if last is None or number == last + 1:
            return NEXT
        return REPEAT if number <= last else JUMP


def linked(
    previous_of: Callable[[T], C], cursor_of: Callable[[T], C]
) -> Callable[[C | None, T], Continuity]:
    """Return a ``follows`` for items that name the one before them.

    An item that names itself as the one before it, or is the last one again, is a
    repeat.
    """

    def follows(last: C | None, item: T) -> Continuity:
        if last is None or previous_of(item) == last:
            return NEXT
        return REPEAT if cursor_of(item) == last else JUMP

    return follows


def ranges(
    first_of: Callable[[T], int], last_of: Callable[[T], int]
) -> Callable[[int | None, T], Continuity]:
    """Return a ``follows`` for items that each cover a range of numbers.

    An item follows where its range holds the next number (``first <= last + 1 <=
    last_of(item)``), and is a repeat where all of it is known.
    """

    def follows(last: int | None, item: T) -> Continuity:
        first, end = first_of(item), last_of(item)
        if type(first) is not int or type(end) is not int:
            raise TypeError(_NO_NUMBER)
        if last is None or first <= last + 1 <= end:
            return NEXT
        return REPEAT if end <= last else JUMP

    return follows


def in_epochs(
    position_of: Callable[[T], tuple[E, N] | None],
    step: Callable[[N, N], Continuity] = _successive,
) -> Callable[[tuple[E, N] | None, T], Continuity]:
    """Return a ``follows`` for items of a server that names each count of its own.

    A position is the name of a count and a place in it. An item of another count is a
    reset; one without a position always follows.

    Args:
        position_of: Returns the position of an item.
        step: Compares two places of one count; by default whole numbers without holes.
    """

    def follows(last: tuple[E, N] | None, item: T) -> Continuity:
        position = position_of(item)
        if last is None or position is None:
            return NEXT
        if position[0] != last[0]:
            return RESET
        return step(last[1], position[1])

    return follows
