"""The state of a session moves as the table says, and in no other way."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from resilient_ws import Fatal, SessionClosed, State, StateChanged
from resilient_ws.state import TRANSITIONS
from resilient_ws.supervisor.lifecycle import Lifecycle
from tests.record import turns


#: The states on the shortest way to each state.
WAY = {
    State.IDLE: (),
    State.CONNECTING: (State.CONNECTING,),
    State.RESTORING: (State.CONNECTING, State.RESTORING),
    State.OPEN: (State.CONNECTING, State.RESTORING, State.OPEN),
    State.BACKOFF: (State.CONNECTING, State.BACKOFF),
    State.CLOSING: (State.CLOSING,),
    State.CLOSED: (State.CLOSING, State.CLOSED),
}


def lifecycle(state: State) -> Lifecycle:
    """One that has come to a state."""
    life = Lifecycle()
    for step in WAY[state]:
        life.move_to(step)
    return life


def test_it_begins_idle_and_without_a_loop() -> None:
    life = Lifecycle()
    assert (life.state, life.failure) == (State.IDLE, None)


@pytest.mark.parametrize(("here", "there"), list(itertools.product(State, State)))
def test_it_makes_the_moves_of_the_table_and_no_other(
    here: State, there: State
) -> None:
    life = lifecycle(here)
    because = ValueError()
    if there not in TRANSITIONS[here]:
        with pytest.raises(AssertionError, match=f"{here.name} to {there.name}"):
            life.move_to(there)
        assert life.state is here
        return
    event = life.move_to(there, because=because, retry_in=2.0)
    assert event == StateChanged(
        previous=here, current=there, because=because, retry_in=2.0
    )
    assert life.state is there
    # A connection that is lost is no failure of the session.
    assert life.failure is (because if there.ending else None)


def test_the_first_failure_of_the_end_stands() -> None:
    life = Lifecycle()
    first = Fatal("first")
    life.move_to(State.CLOSING, because=first)
    life.move_to(State.CLOSED, because=Fatal("second"))
    assert life.failure is first
    assert life.closed_error() is first


async def test_a_state_is_waited_for_until_it_comes_or_cannot() -> None:
    life = Lifecycle()
    await life.wait_until(State.IDLE)
    waiting = {state: asyncio.create_task(life.wait_until(state)) for state in State}
    await turns()
    assert [state for state, task in waiting.items() if task.done()] == [State.IDLE]
    life.move_to(State.CONNECTING)
    life.move_to(State.RESTORING)  # before those who waited have run
    await turns()
    del waiting[State.IDLE]
    for came in (State.CONNECTING, State.RESTORING):
        await waiting.pop(came)
    assert not any(task.done() for task in waiting.values())
    life.move_to(State.CLOSING)
    await waiting.pop(State.CLOSING)
    closed = waiting.pop(State.CLOSED)
    for task in waiting.values():
        with pytest.raises(SessionClosed):
            await task
    life.move_to(State.CLOSED)
    await closed
    with pytest.raises(SessionClosed):
        await life.wait_until(State.CLOSING)


async def test_a_wait_that_is_cancelled_is_forgotten() -> None:
    life = Lifecycle()
    waiting = [asyncio.create_task(life.wait_until(State.OPEN)) for _ in range(3)]
    await turns()
    waiting[1].cancel()
    await turns()
    assert len(life._waiters) == 2
    for step in WAY[State.OPEN]:
        life.move_to(step)
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [False, True, False]
    assert not life._waiters
