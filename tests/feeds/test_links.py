from __future__ import annotations

import asyncio

import pytest

from resilient_ws import GaveUp
from resilient_ws.events import SessionClosed
from resilient_ws.feeds.links import Links
from resilient_ws.state import DeliveryState
from tests.feeds.scripted_session import ScriptedSession
from tests.record import turns


def make() -> tuple[ScriptedSession, Links]:
    session = ScriptedSession()
    return session, Links(session.session)


async def test_who_waits_gets_the_next_link() -> None:
    session, links = make()
    waiting = [asyncio.create_task(links.current()) for _ in range(3)]
    await turns(2)
    waiting[1].cancel()
    session.open()
    link = links.opened(1)
    assert await waiting[0] is await waiting[2] is await links.current() is link
    assert links.link is link
    assert not links._waiters


async def test_a_link_that_ended_says_so() -> None:
    session, links = make()
    session.open()
    link = links.opened(1)
    assert links.ended() is link
    assert link.gone.is_set()
    assert (links.link, links.ended()) == (None, None)


async def test_a_message_goes_out_on_the_next_connection_if_not_on_this() -> None:
    session, links = make()
    session.open()
    links.opened(1)
    session.drop()  # the pump does not know yet
    sending = asyncio.create_task(links.send("hello"))
    await turns()
    assert not sending.done()
    links.ended()
    session.open()
    link = links.opened(2)
    assert await sending is link
    assert session.sent == [(2, "hello")]


async def test_a_link_sends_on_its_own_connection_only() -> None:
    session, links = make()
    session.open()
    link = links.opened(1)
    session.drop()
    session.open()
    delivery = await link.send("late")
    assert delivery.state is DeliveryState.DROPPED
    assert session.sent == []


async def test_the_end_of_the_session_fails_who_waits_and_who_comes_later() -> None:
    _, links = make()
    waiting = asyncio.create_task(links.current())
    await turns(2)
    end = GaveUp("enough", attempts=3, elapsed=1.0, history=())
    links.finish(end)
    with pytest.raises(GaveUp) as caught:
        await waiting
    assert caught.value is not end
    with pytest.raises(GaveUp):
        await links.send("hello")
    links.finish(SessionClosed())
