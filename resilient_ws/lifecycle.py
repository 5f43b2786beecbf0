"""The state of one session: written by one function, guarded by the table.

Rules: only the supervisor calls ``become``; a move that the table does not list is a
bug and raises; whoever waits for a state hears at the moment it comes, or can no
longer come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.events import SessionClosed, StateChanged
from resilient_ws.state import TRANSITIONS, State
from resilient_ws.tracebacks import without_frames


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event


class Lifecycle:
    """Holds the state, and those who wait for one."""

    __slots__ = (
        "_loop",
        "_report",
        "_since",
        "_spent",
        "_state",
        "_waiters",
        "failure",
    )

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop, report: Callable[[Event], None]
    ) -> None:
        self._loop = loop
        self._report = report
        self._state = State.IDLE
        # When the state came, and the seconds spent in each of those before it.
        self._since = loop.time()
        self._spent: dict[State, float] = {}
        self._waiters: list[tuple[State, asyncio.Future[None]]] = []
        #: What ended the session, ``None`` while it lives or when it was closed.
        self.failure: Exception | None = None

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    def now(self) -> float:
        """Return the time of the loop."""
        return self._loop.time()

    def seconds_in(self, state: State) -> float:
        """Return the seconds spent in a state so far, the present stay included."""
        stay = self.now() - self._since if state is self._state else 0.0
        return self._spent.get(state, 0.0) + stay

    def become(
        self,
        state: State,
        *,
        because: Exception | None = None,
        retry_in: float | None = None,
    ) -> None:
        """Move to ``state``; the one place that writes it."""
        previous = self._state
        if state not in TRANSITIONS[previous]:
            msg = f"a session cannot go from {previous.name} to {state.name}"
            raise AssertionError(msg)
        now = self.now()
        self._spent[previous] = self._spent.get(previous, 0.0) + now - self._since
        self._since = now
        self._state = state
        if state.ending and self.failure is None:
            self.failure = because
        self._report(
            StateChanged(
                previous=previous, current=state, because=because, retry_in=retry_in
            )
        )
        self._tell_waiters()

    async def wait_until(self, state: State) -> None:
        """Wait until the session is in ``state``; raise when that can no longer be."""
        if self._state is state:
            return
        if not self._state.can_become(state):
            raise self.ended()
        waiter = self._loop.create_future()
        entry = (state, waiter)
        self._waiters.append(entry)
        try:
            await waiter
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)

    def ended(self) -> Exception:
        """Return what to raise where the session's end is in the way."""
        if self.failure is not None:
            return without_frames(self.failure)
        return SessionClosed()

    def _tell_waiters(self) -> None:
        still: list[tuple[State, asyncio.Future[None]]] = []
        for wanted, waiter in self._waiters:
            if waiter.done():
                continue
            if wanted is self._state:
                waiter.set_result(None)
            elif not self._state.can_become(wanted):
                waiter.set_exception(self.ended())
            else:
                still.append((wanted, waiter))
        self._waiters = still
