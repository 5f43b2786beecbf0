from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import OutboxFull
from resilient_ws.events import SessionClosed
from resilient_ws.feeds import CallLost, CallTimeout, FeedError
from resilient_ws.feeds.calls import Calls, value_of
from resilient_ws.feeds.links import Links
from resilient_ws.state import DeliveryState
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


if TYPE_CHECKING:
    from collections.abc import Hashable


class Desk:
    """Calls over a session that is played by hand."""

    def __init__(self, *, is_open: bool = True, max_in_flight: int = 10) -> None:
        self.session = ScriptedSession()
        self.links = Links(self.session.session)
        self.calls = Calls(self.links, max_in_flight=max_in_flight)
        if is_open:
            self.open()

    def open(self) -> None:
        self.session.open()
        self.links.opened(self.session.epoch)

    def drop(self) -> None:
        self.session.drop()
        link = self.links.ended()
        assert link is not None
        self.calls.lost(link)

    def start(
        self, *ids: Hashable, timeout: float = 5.0, **how: Any
    ) -> asyncio.Task[Any]:
        message = f"ask {ids}"
        work = self.calls.call(ids, message, timeout=timeout, **how)
        return asyncio.create_task(work)


def lost(outcome: tuple[Any, Exception | None]) -> CallLost:
    assert isinstance(outcome[1], CallLost), outcome
    return outcome[1]


async def test_a_drop_fails_a_call_that_waits_for_room_at_once() -> None:
    """Not when its turn has come: a session lets those who wait go one after another."""
    desk = Desk()
    desk.session.room.clear()
    once, again = desk.start(1), desk.start(2, repeat=True)
    await turns()
    assert desk.session.sent == []
    link = desk.links.ended()
    assert link is not None
    desk.calls.lost(link)
    await turns()
    assert not lost(once.result()[0]).maybe_executed
    assert not again.done()
    desk.session.drop()
    desk.open()
    await turns()
    assert desk.session.sent == [(2, "ask (2,)")]
    assert desk.calls.answered(2, "done", None)
    assert await again == [("done", None)]


async def test_an_answer_ends_a_call() -> None:
    desk = Desk()
    task = desk.start(1)
    await turns()
    assert (len(desk.calls), desk.session.sent) == (1, [(1, "ask (1,)")])
    assert desk.calls.answered(1, {"a": 1}, None)
    assert value_of((await task)[0]) == {"a": 1}
    assert not desk.calls.answered(1, "again", None)
    assert len(desk.calls) == 0


async def test_so_does_an_error_and_the_answers_of_a_batch_come_in_any_order() -> None:
    desk = Desk()
    task = desk.start("a", "b", "c")
    await turns()
    error = FeedError("no")
    assert desk.calls.answered("c", 3, None)
    assert desk.calls.answered("a", None, error)
    assert not desk.calls.answered("a", 1, None), "the first answer stands"
    assert not task.done()
    assert desk.calls.answered("b", 2, None)
    assert await task == [(None, error), (2, None), (3, None)]
    with pytest.raises(FeedError, match="no"):
        value_of((None, error))


async def test_a_timeout_names_what_has_no_answer_and_whether_it_was_sent() -> None:
    desk = Desk()
    task = desk.start(1, 2, timeout=7)
    await turns()
    desk.calls.answered(2, "yes", None)
    first, second = await task
    assert now() == 7
    assert second == ("yes", None)
    assert isinstance(first[1], CallTimeout)
    assert (first[1].after, first[1].maybe_executed) == (7, True)
    assert not desk.calls.answered(1, "late", None)

    desk.drop()
    ((_, failure),) = await desk.start(3, timeout=7)
    assert isinstance(failure, CallTimeout)
    assert not failure.maybe_executed
    assert now() == 14


async def test_a_drop_fails_at_once_what_was_sent_and_only_that() -> None:
    desk = Desk(max_in_flight=2)
    tasks = [desk.start(number) for number in range(3)]
    await turns()
    desk.calls.answered(0, "yes", None)
    desk.drop()
    await turns()
    assert [task.done() for task in tasks] == [True, True, False]
    assert await tasks[0] == [("yes", None)], "what was answered is not lost"
    assert lost((await tasks[1])[0]).maybe_executed
    desk.open()
    await turns()
    assert desk.session.sent[-1] == (2, "ask (2,)"), "its turn came on the next"
    desk.calls.answered(2, "yes", None)
    await tasks[2]


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.EXPIRED])
async def test_what_was_accepted_and_never_transmitted_was_not_executed(
    state: DeliveryState,
) -> None:
    desk = Desk()
    desk.session.on_send = lambda _: state
    task = desk.start(1)
    await turns()
    desk.drop()
    if state.lost:
        desk.session.on_send = None
        desk.open()
        await turns()
        assert desk.session.sent == [(2, "ask (1,)")]
        desk.calls.answered(1, "yes", None)
        assert await task == [("yes", None)]
    else:
        assert not lost((await task)[0]).maybe_executed


async def test_a_confirmed_message_was_sent_too() -> None:
    """With confirm="pong" a delivery does not end as written."""
    desk = Desk()
    task = desk.start(1)
    await turns()
    (call,) = desk.calls._pending.values()
    assert call.delivery is not None
    call.delivery.state = DeliveryState.CONFIRMED  # type: ignore[misc]
    desk.drop()
    assert lost((await task)[0]).maybe_executed


async def test_a_call_that_is_repeatable_goes_out_again_and_says_so_if_it_fails() -> (
    None
):
    desk = Desk()
    task = desk.start(1, timeout=60, repeat=True)
    again = desk.start(2, timeout=3, repeat=True)
    await turns()
    desk.drop()
    await turns()
    assert not task.done()
    ((_, failure),) = await again
    assert isinstance(failure, CallTimeout)
    assert failure.maybe_executed, "on the connection before"
    desk.open()
    await turns()
    assert desk.session.sent[2:] == [(2, "ask (1,)")]
    desk.calls.answered(1, "yes", None)
    assert await task == [("yes", None)]


async def test_discarded_messages_end_what_is_in_flight_and_what_is_repeatable_is_asked_again() -> (
    None
):
    desk = Desk()
    task, again = desk.start(1), desk.start(2, repeat=True)
    await turns()
    desk.calls.lost()
    await turns()
    assert "discarded" in str(lost((await task)[0]))
    assert desk.session.sent[2:] == [(1, "ask (2,)")]
    desk.calls.answered(2, "yes", None)
    assert await again == [("yes", None)]


async def test_a_call_for_one_connection_ends_with_it() -> None:
    desk = Desk()
    link = desk.links.link
    desk.drop()
    desk.open()
    (outcome,) = await desk.start(1, link=link)
    assert not lost(outcome).maybe_executed
    assert desk.session.sent == []


async def test_no_more_are_in_flight_than_allowed_and_none_is_lost_by_cancelling() -> (
    None
):
    desk = Desk(max_in_flight=3)
    tasks = [desk.start(number, timeout=600) for number in range(100)]
    answered = cancelled = 0
    while not all(task.done() for task in tasks):
        await turns(3)
        assert len(desk.calls) <= 3
        for number in list(desk.calls._pending):
            if int(str(number)) % 3 == 0:
                tasks[int(str(number))].cancel()
                cancelled += 1
            else:
                desk.calls.answered(number, number, None)
                answered += 1
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in outcomes) == 34
    assert sum(one == [(number, None)] for number, one in enumerate(outcomes)) == 66
    assert len(desk.calls) == 0
    assert not desk.calls._slots.locked()


async def test_a_call_waits_for_room_and_not_longer_than_its_time() -> None:
    desk = Desk()
    desk.session.room.clear()
    ((_, failure),) = await desk.start(1, timeout=2)
    assert isinstance(failure, CallTimeout)
    assert (failure.maybe_executed, desk.session.sent, now()) == (False, [], 2)


async def test_an_id_that_waits_for_its_answer_is_not_given_again() -> None:
    desk = Desk()
    task = desk.start(1)
    await turns()
    for ids in ((1,), (2, 1), (3, 3)):
        with pytest.raises(ValueError, match="waits for its answer"):
            await desk.start(*ids)
    desk.calls.answered(1, "yes", None)
    assert await task == [("yes", None)]
    assert len(desk.calls) == 0


async def test_what_keeps_a_message_from_being_sent_is_raised() -> None:
    desk = Desk()
    desk.session.on_send = lambda _: OutboxFull("full")
    with pytest.raises(OutboxFull):
        await desk.start(1)
    assert len(desk.calls) == 0


async def test_when_the_session_ends_what_was_sent_is_lost_and_what_was_not_raises() -> (
    None
):
    desk = Desk(max_in_flight=1)
    sent, repeatable = desk.start(1), desk.start(2, repeat=True)
    await turns()
    link = desk.links.ended()
    assert link is not None
    desk.calls.lost(link)
    desk.links.finish(SessionClosed())
    assert lost((await sent)[0]).maybe_executed
    with pytest.raises(SessionClosed):
        await repeatable


async def test_a_request_that_goes_out_again_may_say_so() -> None:
    desk = Desk()
    work = desk.calls.call([1], lambda again: f"again {again}", timeout=5, repeat=True)
    task = asyncio.create_task(work)
    await turns()
    desk.drop()
    desk.open()
    await turns()
    assert desk.session.sent == [(1, "again False"), (2, "again True")]
    desk.calls.answered(1, "yes", None)
    assert await task == [("yes", None)]


async def test_a_request_that_never_left_does_not_say_so() -> None:
    desk = Desk(is_open=False)
    task = asyncio.create_task(
        desk.calls.call([1], lambda again: f"again {again}", timeout=5, repeat=True)
    )
    await turns()
    desk.open()
    await turns()
    assert desk.session.sent == [(1, "again False")]
    desk.calls.answered(1, "yes", None)
    assert await task == [("yes", None)]
