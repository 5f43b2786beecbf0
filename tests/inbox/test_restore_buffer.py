"""What arrives while on_open runs: taken by the hook, or moved to the inbox."""

from __future__ import annotations

import asyncio

import pytest

from resilient_ws import ConnectionLost, Inbox
from resilient_ws.inbox import InboxQueue
from resilient_ws.inbox.queue import MAX_AT_ONCE
from resilient_ws.inbox.restore_buffer import RestoreBuffer


def fill(buffer: RestoreBuffer, *texts: str) -> bool:
    for text in texts:
        buffer.deliver(text)
    return buffer.arrived(len("".join(texts)))


@pytest.fixture
async def ended() -> asyncio.Future[ConnectionLost]:
    return asyncio.get_running_loop().create_future()


async def test_the_first_match_is_taken_and_the_rest_joins_the_inbox(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer = RestoreBuffer(Inbox())
    fill(buffer, "news", "welcome", "more")
    assert await buffer.take(lambda m: m == "welcome", ended) == "welcome"
    inbox = InboxQueue(
        Inbox(),
        loop=asyncio.get_running_loop(),
        wall=lambda: 0.0,
        report=lambda _: None,
    )
    for _ in range(2):
        buffer.join(inbox)
        assert (len(inbox), inbox.unread.size) == (2, 8)
    assert buffer.space() == Inbox().max_bytes
    assert inbox.unread.take_run() == ["news", "more"]


async def test_it_waits_for_a_message_or_the_end(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer = RestoreBuffer(Inbox())
    taking = asyncio.create_task(buffer.take(None, ended))
    await asyncio.sleep(1)
    fill(buffer, "1")
    assert await taking == "1"
    taking = asyncio.create_task(buffer.take(None, ended))
    await asyncio.sleep(1)
    lost = ConnectionLost("The connection was lost.", how="close")
    ended.set_result(lost)
    with pytest.raises(ConnectionLost) as caught:
        await taking
    assert caught.value is lost


async def test_what_arrived_before_the_end_is_taken_first(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer = RestoreBuffer(Inbox())
    fill(buffer, "1")
    ended.set_result(ConnectionLost("The connection was lost.", how="close"))
    assert await buffer.take(None, ended) == "1"
    with pytest.raises(ConnectionLost):
        await buffer.take(None, ended)


async def test_two_that_wait_get_a_message_each(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer = RestoreBuffer(Inbox())
    late = asyncio.create_task(buffer.take(lambda m: m == "2", ended))
    early = asyncio.create_task(buffer.take(None, ended))
    await asyncio.sleep(1)
    fill(buffer, "1", "2")
    assert [await early, await late] == ["1", "2"]
    assert buffer.space() == Inbox().max_bytes


async def test_the_wire_is_called_for_each_message_until_it_reads_again(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer, calls = RestoreBuffer(Inbox(max_messages=3, max_bytes=3)), list[int]()
    assert fill(buffer, "1", "2", "3") is True
    assert (buffer.room(), buffer.space(), buffer.closes) == (0, 0, False)
    buffer.reading_paused(lambda: calls.append(buffer.room()))
    await buffer.take(None, ended)
    assert calls == [1]
    buffer.reading_resumed()
    await buffer.take(None, ended)
    assert calls == [1]


async def test_a_hook_that_always_finds_a_message_yields_to_the_loop(
    ended: asyncio.Future[ConnectionLost],
) -> None:
    buffer = RestoreBuffer(Inbox(max_messages=2 * MAX_AT_ONCE))
    fill(buffer, *["x"] * MAX_AT_ONCE)
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)
    for _ in range(MAX_AT_ONCE - 1):
        await buffer.take(None, ended)
    assert others == []
    await buffer.take(None, ended)
    assert others == [1]
