"""The state of one session, from ``connect()`` on, and the tasks that wait for one.

Rules: only ``move_to`` writes the state, and a move that the table does not list is a
bug and raises. The supervisor alone calls it, but for a session that is closed before
it is entered. A task that waits for a state wakes as soon as the session reaches that
state or can no longer reach it.
"""

from __future__ import annotations

import asyncio

from resilient_ws.events import SessionClosed, StateChanged
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.state import TRANSITIONS, State


class Lifecycle:
    """Where a session stands; it needs no event loop until a task waits."""

    __slots__ = ("_state", "_waiters", "failure")

    def __init__(self) -> None:
        self._state = State.IDLE
        self._waiters: tuple[tuple[State, asyncio.Future[None]], ...] = ()
        #: The exception that ended the session, ``None`` before that or after a close.
        self.failure: Exception | None = None

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    def move_to(
        self,
        state: State,
        *,
        because: Exception | None = None,
        retry_in: float | None = None,
    ) -> StateChanged:
        """Move to ``state``, and return the event to report."""
        previous = self._state
        if state not in TRANSITIONS[previous]:
            msg = f"a session cannot go from {previous.name} to {state.name}"
            raise AssertionError(msg)
        self._state = state
        if state.ending and self.failure is None:
            self.failure = because
        self._tell_waiters()
        return StateChanged(
            previous=previous, current=state, because=because, retry_in=retry_in
        )

    async def wait_until(self, state: State) -> None:
        """Wait until the session is in ``state``; raise if it cannot get there."""
        if self._state is state:
            return
        if not self._state.can_become(state):
            raise self.closed_error()
        waiter = asyncio.get_running_loop().create_future()
        entry = (state, waiter)
        self._waiters = (*self._waiters, entry)
        try:
            await waiter
        finally:
            self._waiters = tuple(one for one in self._waiters if one is not entry)

    def closed_error(self) -> Exception:
        """Return the exception for a call that the session's end makes impossible."""
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
                waiter.set_exception(self.closed_error())
            else:
                still.append((wanted, waiter))
        self._waiters = tuple(still)
