"""The state of one session: written by one function, guarded by the table.

Rules: only the supervisor calls ``become``. A move that the table does not list is a
bug and raises. A task that waits for a state wakes as soon as the session reaches that
state or can no longer reach it.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from resilient_ws.events import SessionClosed, StateChanged
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.state import TRANSITIONS, State


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event


_ORDINALS: Final = {state: ordinal for ordinal, state in enumerate(State)}


class Lifecycle:
    """The state of a session, and the tasks that wait for a state."""

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
        # When the current state began, and the seconds spent in each state before. An
        # array, because a dictionary would cost each session 200 bytes more.
        self._since = loop.time()
        self._spent = array("d", bytes(8 * len(_ORDINALS)))
        self._waiters: list[tuple[State, asyncio.Future[None]]] = []
        #: The exception that ended the session, ``None`` before that or after a close.
        self.failure: Exception | None = None

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def seconds_in(self, state: State) -> float:
        """Return the seconds spent in a state so far, including the current stay."""
        stay = self.now() - self._since if state is self._state else 0.0
        return self._spent[_ORDINALS[state]] + stay

    def become(
        self,
        state: State,
        *,
        because: Exception | None = None,
        retry_in: float | None = None,
    ) -> None:
        """Move to ``state``. Nothing else writes the state."""
        previous = self._state
        if state not in TRANSITIONS[previous]:
            msg = f"a session cannot go from {previous.name} to {state.name}"
            raise AssertionError(msg)
        now = self.now()
        self._spent[_ORDINALS[previous]] += now - self._since
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
        """Wait until the session is in ``state``; raise if it cannot get there."""
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
                waiter.set_exception(self.ended())
            else:
                still.append((wanted, waiter))
        self._waiters = still
