"""The driver of the tracker in virtual time, over a node played by hand."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import (
    BackfillFailed,
    Gap,
    HistoryPruned,
    SubscribeRefused,
    UnknownTag,
    WrongChain,
)
from resilient_ws.feeds.evm import Cursor, Head, Limits, Reorg, heads
from tests.feeds.evm.desk import NodeDesk, Refused, as_sent
from tests.feeds.evm.told import Told
from tests.record import now, turns


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds.evm import ChainStream


@pytest.fixture
async def desk() -> AsyncIterator[NodeDesk]:
    async with NodeDesk() as desk:
        yield desk


async def begun(desk: NodeDesk, **how: Any) -> tuple[ChainStream[Any], Told]:
    """Return a stream whose newest block was told."""
    stream, told = heads(desk.client, **how), Told()
    await told.follow(stream, lambda: told.tip == desk.chain.blocks[-1].number)
    return stream, told


async def test_a_live_block_costs_no_call(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    assert [method for method, _ in desk.asked] == [
        "eth_chainId",
        "eth_subscribe",
        "eth_getBlockByNumber",
        "eth_getBlockByNumber",
    ]
    desk.mine(5)
    await told.follow(stream, lambda: told.tip == 15)
    assert len(desk.asked) == 4


async def test_announcements_that_skip_cost_a_call_a_block(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    desk.announce(desk.chain.mine(40)[-1])
    await told.follow(stream, lambda: told.tip == 50)
    assert len(desk.asked) == 44


async def test_a_deaf_subscription_is_found_and_made_anew(desk: NodeDesk) -> None:
    stream, told = await begun(desk, stale_after=15)
    desk.chain.mine(2)  # nobody hears of it
    begin = now()
    await told.follow(stream, lambda: told.tip == 12)
    assert now() - begin == pytest.approx(15, abs=0.1)
    assert desk.calls("eth_subscribe") == 1
    asyncio.get_running_loop().call_later(4, desk.mine)
    await told.follow(stream, lambda: told.tip == 13)
    assert desk.calls("eth_subscribe") == 2
    assert desk.calls("eth_unsubscribe") == 1
    assert desk.session.reconnects == []


async def test_silence_of_a_quiet_chain_is_no_deafness(desk: NodeDesk) -> None:
    stream, told = await begun(desk, stale_after=15)
    asyncio.get_running_loop().call_later(50, desk.mine)
    await told.follow(stream, lambda: told.tip == 11)
    assert desk.calls("eth_subscribe") == 1
    assert desk.calls("eth_getBlockByNumber") == 2 + 3


async def test_a_node_that_announces_nothing_is_polled(desk: NodeDesk) -> None:
    desk.key = None
    stream, told = await begun(desk, poll_interval=2)
    for _ in range(3):
        (new,) = desk.chain.mine(1)
        begin = now()
        told.take(await anext(stream))
        assert told.tip == new.number
        assert now() - begin <= 2.1
    assert desk.calls("eth_subscribe") == 1


async def test_a_block_that_lags_is_waited_for(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    since = now()

    def instead(method: str, params: list[Any]) -> Any:
        late = now() < since + 5
        return None if late and params[:1] == [hex(12)] else ...

    desk.instead = instead
    desk.announce(desk.chain.mine(3)[-1])
    await told.follow(stream, lambda: told.tip == 13)
    # 0.1 s doubled: 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 s.
    assert now() - since == pytest.approx(6.3, abs=0.01)
    assert desk.session.reconnects == []
    assert told.gaps == []


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING
    ]


async def numbers(stream: ChainStream[Any], count: int) -> list[int]:
    return [(await anext(stream)).number for _ in range(count)]


async def silent(stream: ChainStream[Any], seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await anext(stream)


async def test_a_number_beyond_the_chain_of_the_node_is_told_and_waited_for(
    desk: NodeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    stream = heads(desk.client, after=12)
    await silent(stream, 200)
    told = warnings(caplog)
    assert 2 <= len(told) <= 4  # one a minute
    assert (
        "heads: it goes on after block 12, but the newest block of the node"
        in (told[0])
    )
    assert "is 10;" in told[0]
    assert "Check after=" in told[0]
    desk.mine(3)
    assert await numbers(stream, 1) == [13]
    caplog.clear()
    desk.mine(5)
    assert await numbers(stream, 5) == [14, 15, 16, 17, 18]
    assert warnings(caplog) == []


async def test_a_cursor_whose_block_the_node_calls_not_yet_its_newest_is_told(
    desk: NodeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.chain.mine(2)
    blocks = desk.chain.blocks
    hashes = tuple(block.hash for block in blocks[9:13])
    cursor = Cursor(chain_id=1, number=12, dense=hashes)
    late = True
    desk.instead = lambda _, params: (
        as_sent(blocks[10]) if late and params[:1] == ["latest"] else ...
    )
    stream = heads(desk.client, after=cursor)
    await silent(stream, 100)
    assert any(
        "after block 12" in text and "is 10;" in text for text in warnings(caplog)
    )
    late = False
    desk.mine()
    assert await numbers(stream, 1) == [13]


async def test_a_stream_that_begins_with_what_the_node_has_warns_of_nothing(
    desk: NodeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    for after in (None, 3, 10):
        stream = heads(desk.client, after=after)
        desk.mine()
        newest = desk.chain.blocks[-1].number
        while await numbers(stream, 1) != [newest]:
            pass
        await stream.aclose()
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    "rubbish", ["text", {"number": "0xzz"}, {"number": None}, {"hash": 5}]
)
async def test_rubbish_in_place_of_announcements_is_counted_and_told_now_and_then(
    rubbish: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with NodeDesk() as desk:
        stream, _ = await begun(desk)
        for _ in range(100):
            desk.announce(rubbish)
            await silent(stream, 1)
        told = warnings(caplog)
        assert 1 <= len(told) <= 2
        assert "malformed: an announcement that is no block" in told[0]
        assert "(1 so far)" in told[0]
        assert desk.client.channel.statistics().malformed == 100


async def test_rubbish_in_place_of_a_block_is_counted_and_told_with_the_lag(
    desk: NodeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    stream, told = await begun(desk)
    desk.instead = lambda _, params: "5ecret" if params[:1] == [hex(12)] else ...
    desk.announce(desk.chain.mine(3)[-1])
    await told.follow(stream, lambda: told.tip == 13)
    assert len(desk.session.reconnects) == 2
    texts = warnings(caplog)
    assert any("malformed: something else in place of a block" in one for one in texts)
    lag = "block 12, which it must have: the answer was no such block. Another"
    assert sum(lag in one for one in texts) == 1
    assert desk.client.channel.statistics().malformed > 10
    assert "5ecret" not in caplog.text


async def test_a_node_that_never_tells_its_newest_block_is_told_each_minute(
    desk: NodeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    stream, _ = await begun(desk)
    desk.key = None
    desk.instead = lambda _, params: None if params[:1] == ["latest"] else ...
    desk.session.drop()
    await turns()
    desk.session.open()
    await silent(stream, 600)
    texts = [one for one in warnings(caplog) if "its newest block" in one]
    assert 5 <= len(texts) <= 10
    assert "Another connection is tried (1 so far)" in texts[0]
    assert "null. No other had it either" in texts[-1]
    assert len(desk.session.reconnects) == 2


async def test_a_block_that_never_comes_is_a_gap_after_new_connections(
    desk: NodeDesk,
) -> None:
    stream, told = await begun(desk)
    missing = [hex(12), hex(13)]
    desk.instead = lambda _, params: (
        None if params[:1] and params[0] in missing else ...
    )
    desk.announce(desk.chain.mine(6)[-1])
    await told.follow(stream, lambda: told.tip == 16)
    assert [reason for reason, _ in desk.session.reconnects] == ["lagging"] * 2
    (gap,) = told.gaps
    assert (gap.first_missing, gap.until) == (12, 13)
    assert isinstance(gap.because, BackfillFailed)


async def test_an_announced_block_that_nobody_has_does_not_end_it(
    desk: NodeDesk,
) -> None:
    stream, told = await begun(desk)
    ghost = {
        **as_sent(desk.chain.blocks[-1]),
        "number": hex(15),
        "hash": "0x" + "e" * 64,
    }
    desk.announce(ghost)
    await asyncio.sleep(100)
    assert len(desk.session.reconnects) <= 2
    desk.mine(1)
    await told.follow(stream, lambda: told.tip == 11)
    assert told.gaps == []


async def test_deleted_history_is_a_gap_with_exact_bounds(desk: NodeDesk) -> None:
    desk.chain.mine(500)

    def instead(method: str, params: list[Any]) -> Any:
        by_number = method == "eth_getBlockByNumber" and params[0].startswith("0x")
        if by_number and int(params[0], 16) < 300:
            raise Refused(4444, "pruned history unavailable")
        return ...

    desk.instead = instead
    _, told = await begun(desk, after=100)
    (gap,) = told.gaps
    assert (gap.first_missing, gap.until) == (101, 299)
    assert isinstance(gap.because, HistoryPruned)
    assert min(told.blocks) == 300
    assert desk.session.reconnects == []


async def test_deleted_history_is_asked_of_another_node(desk: NodeDesk) -> None:
    desk.chain.mine(100)
    asked: list[str] = []

    async def history(method: str, params: Any) -> Any:
        assert method == "eth_getBlockByNumber"
        asked.append(params[0])
        return as_sent(desk.chain.blocks[int(params[0], 16)])

    def instead(method: str, params: list[Any]) -> Any:
        if params and params[0].startswith("0x") and int(params[0], 16) < 50:
            return None
        return ...

    desk.instead = instead
    _, told = await begun(desk, after=40, history=history)
    assert min(told.blocks) == 41
    assert set(asked) == {hex(n) for n in range(40, 50)}
    assert told.gaps == []


async def test_a_shorter_node_is_believed_at_the_second_answer(desk: NodeDesk) -> None:
    stream, told = await begun(desk, after=0, stale_after=15, settle=3)
    desk.chain.shrink(4)
    begin = now()
    await told.follow(stream, lambda: bool(told.reorgs))
    assert now() - begin == pytest.approx(18, abs=0.1)
    assert told.tip == 6


async def test_a_rewind_that_is_announced_is_told_at_once(desk: NodeDesk) -> None:
    stream, told = await begun(desk, after=0, settle=3)
    desk.chain.shrink(4)
    desk.announce(desk.chain.blocks[-1])
    begin = now()
    await told.follow(stream, lambda: bool(told.reorgs))
    assert now() - begin == pytest.approx(3, abs=0.1)
    assert told.tip == 6


async def test_a_live_block_does_not_wait_for_the_second_answer(desk: NodeDesk) -> None:
    stream, told = await begun(desk, after=0, settle=3)
    known = desk.chain.blocks
    desk.chain.shrink(4)
    desk.announce(known[6])
    await turns()
    desk.mine(2)  # others than before
    begin = now()
    await told.follow(stream, lambda: told.tip == 8)
    assert now() - begin < 0.5
    assert [reorg.depth for reorg in told.reorgs] == [4]


async def test_a_node_that_lags_behind_itself_rewinds_nothing(desk: NodeDesk) -> None:
    stream, told = await begun(desk, after=0, stale_after=15)
    whole = desk.chain.blocks
    desk.instead = lambda _, params: (
        as_sent(whole[7]) if params[:1] == ["latest"] else ...
    )
    await asyncio.sleep(120)
    desk.mine()
    await told.follow(stream, lambda: told.tip == 11)
    assert told.reorgs == []


@pytest.mark.parametrize(
    "news",
    [
        "text",
        {},
        {"number": "0x", "hash": "0x1", "parentHash": "0x2", "timestamp": "0x3"},
        {"number": "11"},
        {"number": None},
        {"number": "0xg"},
    ],
)
async def test_a_malformed_announcement_is_survived(desk: NodeDesk, news: Any) -> None:
    stream, told = await begun(desk)
    desk.chain.mine(1)
    desk.announce(news)
    await told.follow(stream, lambda: told.tip == 11)
    assert told.gaps == []


async def test_a_malformed_block_is_asked_for_again(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    bad = iter([{}, {"number": "0x_b"}, 7, [], as_sent(desk.chain.blocks[3])])
    desk.instead = lambda _, params: next(bad, ...) if params[:1] == ["0xb"] else ...
    desk.announce(desk.chain.mine(2)[-1])
    await told.follow(stream, lambda: told.tip == 12)
    assert told.gaps == []


async def test_what_is_announced_before_the_first_answer_counts(
    desk: NodeDesk,
) -> None:
    """The back end that answers may lag behind the one that announced."""
    late = desk.chain.blocks[-1]
    desk.instead = lambda _, params: as_sent(late) if params[:1] == ["latest"] else ...
    stream, told = heads(desk.client), Told()
    told.take(await anext(stream))
    desk.session.drop()
    desk.session.open()
    while desk.calls("eth_subscribe") < 2:  # noqa: ASYNC110 - to the turn
        await asyncio.sleep(0)
    desk.mine(1)
    await told.follow(stream, lambda: told.tip == 11)
    assert now() < 1


async def test_another_chain_on_the_next_connection_ends_it(desk: NodeDesk) -> None:
    stream, _ = await begun(desk)
    desk.chain_id = 5
    desk.session.drop()
    desk.session.open()
    with pytest.raises(WrongChain, match="chain 5"):
        await anext(stream)


async def test_a_node_that_is_busy_at_first_is_asked_again(desk: NodeDesk) -> None:
    busy = iter([1, 2])

    def instead(method: str, _: list[Any]) -> Any:
        if method == "eth_chainId" and next(busy, None):
            raise Refused(-32005, "rate limit")
        return ...

    desk.instead = instead
    _, told = await begun(desk)
    assert told.tip == 10


async def test_a_chain_id_that_is_none_refuses(desk: NodeDesk) -> None:
    desk.instead = lambda method, _: "one" if method == "eth_chainId" else ...
    with pytest.raises(SubscribeRefused, match="chain id"):
        await anext(heads(desk.client))


async def test_discarded_messages_cost_a_poll(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    desk.chain.mine(3)
    desk.session.discard()
    begin = now()
    await told.follow(stream, lambda: told.tip == 13)
    assert now() - begin < 1


async def test_cancelling_the_consumer_loses_nothing(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    for _ in range(200):
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        desk.mine()
        await turns(told.tip % 7)
        if not waiting.cancel():
            told.take(waiting.result())
        await asyncio.wait({waiting})
        if not waiting.cancelled() and waiting.result() is not told.items[-1]:
            told.take(waiting.result())
    await told.follow(stream, lambda: told.tip == 210)
    assert len(told.blocks) == 201


async def test_a_drop_in_the_middle_of_catching_up(desk: NodeDesk) -> None:
    desk.chain.mine(500)
    stream, told = heads(desk.client, after=0), Told()
    while told.tip < 510:
        told.take(await anext(stream))
        if told.tip % 97 == 0:
            desk.session.drop()
            desk.session.open()
    assert told.gaps == []
    # The window of each drop is asked for again, and no more.
    assert desk.calls("eth_getBlockByNumber") < 510 + 6 * 100


@pytest.mark.parametrize("after", [None, 8])
async def test_a_consumer_that_has_just_begun_is_told_what_was_reorganised(
    desk: NodeDesk, after: int | None
) -> None:
    stream, told = await begun(desk, after=after)
    await stream.aclose()
    # All that it has is replaced while it is away.
    desk.chain.cut(10 - (after or 9))
    desk.chain.mine(4)
    cursor = str(stream.cursor)
    again = heads(desk.client, after=cursor)
    await told.follow(again, lambda: told.tip == desk.chain.blocks[-1].number)
    assert told.gaps == []
    [reorg] = [item for item in told.items if isinstance(item, Reorg)]
    assert reorg.ancestor.number == (after or 9)
    await again.aclose()


async def test_the_end_of_the_session_is_the_end(desk: NodeDesk) -> None:
    stream, _ = await begun(desk)
    desk.session.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_one_consumer(desk: NodeDesk) -> None:
    stream, _ = await begun(desk)
    waiting = asyncio.create_task(anext(stream))
    await turns()
    with pytest.raises(RuntimeError, match="one consumer"):
        await anext(stream)
    desk.mine()
    assert isinstance(await waiting, Head)


async def test_a_gap_is_counted(desk: NodeDesk) -> None:
    desk.chain.mine(30)
    desk.instead = lambda _, params: None if params[:1] == [hex(20)] else ...
    _, told = await begun(desk, after=15, lag_patience=1)
    assert [type(gap) for gap in told.gaps] == [Gap]
    assert desk.client.channel.statistics().gaps == 1


async def test_a_node_with_too_much_to_do_is_given_time(desk: NodeDesk) -> None:
    stream, told = await begun(desk)
    busy = iter([1, 2, 3])

    def instead(method: str, _: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and next(busy, None):
            raise Refused(429, "too many requests, try again in 10s")
        return ...

    desk.instead = instead
    desk.announce(desk.chain.mine(2)[-1])
    await told.follow(stream, lambda: told.tip == 12)
    assert desk.session.reconnects == []
    assert told.gaps == []


@pytest.mark.parametrize("code", [-32602, -32000])
async def test_a_tag_that_the_node_does_not_know_is_an_error(
    desk: NodeDesk, code: int
) -> None:
    def instead(_: str, params: list[Any]) -> Any:
        if params[:1] == ["safe"]:
            raise Refused(code, "invalid tag")
        return ...

    desk.instead = instead
    with pytest.raises(UnknownTag, match=r"'safe'.*invalid tag"):
        await anext(heads(desk.client, confirmations="safe"))


async def test_a_chain_where_nothing_is_final_yet_is_waited_for(desk: NodeDesk) -> None:
    desk.instead = lambda _, params: None if params[:1] == ["finalized"] else ...
    stream, told = heads(desk.client, confirmations="finalized"), Told()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(60)
    assert not first.done()
    desk.instead = lambda *_: ...
    told.take(await first)
    assert told.tip == 0
    desk.mine(5)
    await told.follow(stream, lambda: told.tip == 3)


async def test_calls_are_paced(desk: NodeDesk) -> None:
    desk.chain.mine(30)
    begin = now()
    await begun(desk, after=0, limits=Limits(rate=10))
    assert now() - begin >= 4


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"after": -1}, "after must be 0 or more"),
        ({"after": True}, "after must be a cursor"),
        ({"after": "evm1.1"}, "after must be the text of a cursor"),
        ({"confirmations": -1}, "confirmations"),
        ({"confirmations": "latest"}, "'safe' or 'finalized', not 'latest'"),
        ({"max_reorg": 0}, "max_reorg"),
        ({"lag_patience": 0}, "lag_patience"),
        ({"settle": -1}, "settle"),
        ({"stale_after": 0}, "stale_after"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"limits": 3}, "limits must be"),
    ],
)
async def test_wrong_arguments_are_named(
    desk: NodeDesk, how: dict[str, Any], error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        heads(desk.client, **how)
