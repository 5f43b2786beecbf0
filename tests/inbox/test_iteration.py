"""Iterating over what was received."""

from __future__ import annotations

import asyncio
import threading

import pytest

from resilient_ws import Inbox
from resilient_ws.eventloop.affinity import Home
from resilient_ws.inbox import InboxQueue
from resilient_ws.inbox.iteration import Iteration


@pytest.fixture
async def inbox() -> InboxQueue:
    return InboxQueue(
        Inbox(),
        loop=asyncio.get_running_loop(),
        wall=lambda: 0.0,
        report=lambda _: None,
    )


def over(inbox: InboxQueue) -> Iteration:
    return Iteration(inbox, Home.here(), inbox.unread.take_message, object())


def fill(inbox: InboxQueue, *texts: str) -> None:
    for text in texts:
        inbox.deliver(text)
    inbox.arrived(len("".join(texts)))


async def test_it_yields_messages_and_stops_at_the_end(inbox: InboxQueue) -> None:
    fill(inbox, "1", "2", "3")
    inbox.finish(None)
    assert [item async for item in over(inbox)] == ["1", "2", "3"]
    assert [item async for item in over(inbox)] == []
    assert inbox.unread.size == 0


async def test_it_raises_what_ended_the_session_after_the_last_message(
    inbox: InboxQueue,
) -> None:
    fill(inbox, "1")
    failure = ZeroDivisionError()
    inbox.finish(failure)
    iteration = over(inbox)
    assert await anext(iteration) == "1"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            await anext(iteration)
        assert caught.value is failure


async def test_it_can_be_cancelled_and_used_again(inbox: InboxQueue) -> None:
    iteration = over(inbox)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await anext(iteration)
    fill(inbox, "1")
    assert await anext(iteration) == "1"


async def test_another_thread_is_refused_even_while_messages_wait(
    inbox: InboxQueue,
) -> None:
    fill(inbox, "1", "2", "3")
    iteration, raised = over(inbox), list[BaseException]()
    assert await anext(iteration) == "1"

    def elsewhere() -> None:
        try:
            iteration.__anext__().send(None)
        except (RuntimeError, StopIteration) as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "another event loop or thread" in str(raised[0])
    assert len(inbox) == 2
