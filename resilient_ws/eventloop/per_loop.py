"""One value for each event loop, shared by all the sessions that run on it.

Rules: a value is made when its loop first asks for it, and lives as long as something
uses it. Nothing here keeps a loop or a value alive, so a closed loop is freed together
with all that belongs to it. A forked child finds none of its parent's values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary, ref


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


T = TypeVar("T")


class PerLoop(Generic[T]):
    """Returns the one value of an event loop when it is called with the loop.

    It is made once, at module level::

        ticker_of = PerLoop(SleepTicker)

        ticker = ticker_of(loop)

    Args:
        make: Makes the value of a loop. The value must be weakly referenceable.
        after_fork: Called in a forked child with each value of the parent that the
            child may still hold.
    """

    def __init__(
        self,
        make: Callable[[asyncio.AbstractEventLoop], T],
        *,
        after_fork: Callable[[T], object] | None = None,
    ) -> None:
        self._make = make
        self._after_fork = after_fork
        # Weak in both: a value may hold its loop, and would keep it alive from here.
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[T]] = (
            WeakKeyDictionary()
        )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def __call__(self, loop: asyncio.AbstractEventLoop) -> T:
        """Return the value of a loop; make it unless one is in use."""
        known = self._values.get(loop)
        value = None if known is None else known()
        if value is None:
            value = self._make(loop)
            self._values[loop] = ref(value)
        return value

    def _forget(self) -> None:
        values = [value() for value in self._values.values()]
        self._values.clear()
        if self._after_fork is not None:
            for value in values:
                if value is not None:
                    self._after_fork(value)
