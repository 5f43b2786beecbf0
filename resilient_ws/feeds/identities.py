"""A bounded window of what was seen, to tell repeats."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


T = TypeVar("T")


class Identities(Generic[T]):
    """The identities of the newest items.

    Args:
        identity: What two items have in common that are the same.
        window: How many are kept.
    """

    __slots__ = ("_identity", "_known", "_order", "_window")

    def __init__(self, identity: Callable[[T], Hashable], window: int) -> None:
        self._identity = identity
        self._window = window
        self._known: set[Hashable] = set()
        self._order: deque[Hashable] = deque()

    def has(self, item: T) -> bool:
        """Whether an item was seen."""
        return self._identity(item) in self._known

    def add(self, item: T) -> bool:
        """Take note of an item; return whether it is new."""
        return self._note(self._identity(item))

    def another(self) -> Identities[T]:
        """Return an empty window of the same kind."""
        return Identities(self._identity, self._window)

    def take_in(self, other: Identities[T]) -> None:
        """Take note of all that another window knows."""
        for identity in other._order:
            self._note(identity)

    def _note(self, identity: Hashable) -> bool:
        if identity in self._known:
            return False
        self._known.add(identity)
        self._order.append(identity)
        if len(self._order) > self._window:
            self._known.discard(self._order.popleft())
        return True
