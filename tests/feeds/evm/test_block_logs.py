from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import (
    BackfillFailed,
    BackfillLimit,
    FeedError,
    NotBackfillable,
    RPCError,
)
from resilient_ws.feeds.errors import HistoryPruned
from resilient_ws.feeds.evm.block_logs import (
    BlockLogsLate,
    BlockReplaced,
    LogsByHash,
)
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.node_calls import NodeCalls
from tests.feeds.evm.fake_node import ADDRESS, FakeNode
from tests.record import now


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.log_checks import Verify


OTHER = "0x" + "bb" * 20


def asking(
    node: FakeNode, verify: Verify = "bloom", wanted: LogFilter | None = None
) -> LogsByHash:
    calls = NodeCalls(node.call, Limits())
    return LogsByHash(
        calls, wanted or LogFilter(address=ADDRESS), verify, patience=10.0
    )


@pytest.mark.parametrize("verify", ["hash", "bloom"])
@pytest.mark.parametrize("count", [0, 1, 7])
async def test_a_block_costs_one_call(verify: Verify, count: int) -> None:
    node = FakeNode([0, count])
    found = await asking(node, verify).of(node.head(1))
    assert [log.logIndex for log in found] == list(range(count))
    assert len(node.calls) == 1


async def test_receipts_cost_one_call_too_and_only_what_is_wanted_is_taken() -> None:
    node = FakeNode([0, 3])
    found = await asking(node, "receipts").of(node.head(1))
    assert [log.logIndex for log in found] == [0, 1, 2]
    assert [method for method, _ in node.calls] == ["eth_getBlockReceipts"]
    wanted = LogFilter(address=OTHER)
    assert await asking(node, "receipts", wanted).of(node.head(1)) == ()


def empty(times: int) -> Any:
    """A node that answers without logs so many times."""
    left = [times]

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getLogs" and left[0]:
            left[0] -= 1
            return []
        return NotImplemented

    return lie


@pytest.mark.parametrize(("times", "calls"), [(1, 2), (2, 3), (3, 4), (99, 4)])
async def test_an_empty_answer_against_the_bloom_is_asked_twice_more_then_receipts_decide(
    times: int, calls: int
) -> None:
    node = FakeNode([0, 2])
    node.lie = empty(times)
    found = await asking(node).of(node.head(1))
    assert [log.logIndex for log in found] == [0, 1]
    assert len(node.calls) == calls
    assert node.asked("eth_getBlockReceipts") == (calls == 4)


async def test_without_verification_an_empty_answer_is_believed() -> None:
    node = FakeNode([0, 2])
    node.lie = empty(1)
    assert await asking(node, "hash").of(node.head(1)) == ()


async def test_a_bloom_of_zeros_proves_nothing() -> None:
    node = FakeNode([0, 2])
    node.bloom = False
    node.lie = empty(1)
    assert await asking(node).of(node.head(1)) == ()
    assert len(await asking(node, "receipts").of(node.head(1))) == 2


async def test_a_bloom_that_allows_nearly_everything_proves_nothing() -> None:
    node = FakeNode([0, 2_000])
    wanted = LogFilter(address=OTHER)
    node.lie = empty(1)
    assert await asking(node, wanted=wanted).of(node.head(1)) == ()
    assert len(node.calls) == 1


async def test_where_nothing_decides_it_is_said_so() -> None:
    node = FakeNode([0, 2])

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getBlockReceipts":
            raise RPCError(-32601, "Method not found")
        return [] if method == "eth_getLogs" else NotImplemented

    node.lie = lie
    with pytest.raises(BackfillFailed, match=r"its bloom says .*eth_getBlockReceipts"):
        await asking(node).of(node.head(1))
    with pytest.raises(NotBackfillable, match='choose verify="bloom"'):
        await asking(node, "receipts").of(node.head(1))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logs: [{**logs[0], "blockHash": "0x" + "00" * 32}, logs[1]],
        lambda logs: [{**log, "address": OTHER} for log in logs],
        lambda logs: [logs[1], logs[0]],
        lambda logs: [logs[0], logs[0]],
        lambda logs: [{**logs[0], "logIndex": None}],
        lambda logs: {"logs": logs},
        lambda _: None,
        lambda _: [[]],
    ],
)
async def test_what_cannot_be_the_answer_is_asked_for_again(wrong: Any) -> None:
    node = FakeNode([0, 2])
    lies = [wrong, wrong]

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getLogs" and lies:
            return lies.pop()(node.logs(1))
        return NotImplemented

    node.lie = lie
    assert len(await asking(node).of(node.head(1))) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: [],
        lambda _: None,
        lambda receipts: [{"logs": receipts[0]["logs"][:1]}],
        lambda receipts: [*receipts, {"logs": []}],
        lambda _: [{"logs": None}],
        lambda _: ["x"],
        lambda _: "x",
    ],
)
async def test_receipts_that_do_not_make_the_bloom_are_asked_for_again(
    wrong: Any,
) -> None:
    node = FakeNode([0, 2])
    lies = [wrong, wrong]

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getBlockReceipts" and lies:
            return lies.pop()([{"logs": node.logs(1)}])
        return NotImplemented

    node.lie = lie
    assert len(await asking(node, "receipts").of(node.head(1))) == 2


async def test_a_node_that_lags_is_waited_for() -> None:
    node = FakeNode([0, 2])
    head = node.head(1)

    def lie(*_: Any) -> Any:
        if now() < 5:
            raise RPCError(-32000, "unknown block")
        return NotImplemented

    node.lie = lie
    assert len(await asking(node).of(head)) == 2
    assert 5 <= now() < 8


async def test_a_node_that_lags_for_too_long_is_given_up() -> None:
    node = FakeNode([0, 2])

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getLogs":
            raise RPCError(-32000, "unknown block")
        return NotImplemented

    node.lie = lie
    with pytest.raises(BlockLogsLate, match="block 1 in time") as caught:
        await asking(node).of(node.head(1))
    assert isinstance(caught.value.__cause__, RPCError)
    assert now() == pytest.approx(10)


async def test_a_block_that_was_replaced_is_found_at_once() -> None:
    node = FakeNode([0, 2])
    head = node.head(1)
    node.hash = lambda number: f"0x{number:064x}"  # type: ignore[method-assign]
    with pytest.raises(BlockReplaced):
        await asking(node).of(head)
    assert now() == 0


@pytest.mark.parametrize("receipts", [True, False])
async def test_a_block_with_too_many_logs_is_had_from_its_receipts(
    *, receipts: bool
) -> None:
    node = FakeNode([0, 50])
    node.max_results = 10

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getBlockReceipts" and not receipts:
            raise RPCError(-32020, "backend response too large")
        return NotImplemented

    node.lie = lie
    if receipts:
        assert len(await asking(node).of(node.head(1))) == 50
    else:
        with pytest.raises(BackfillLimit, match="narrow the filter") as caught:
            await asking(node).of(node.head(1))
        assert "10 results" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RPCError(4444, "pruned history unavailable"), HistoryPruned),
        (RPCError(-32000, "exceed max addresses or topics"), RPCError),
    ],
)
async def test_other_refusals_are_told_at_once(
    error: RPCError, raised: type[FeedError]
) -> None:
    node = FakeNode([0, 1])

    def lie(*_: Any) -> Any:
        raise error

    head = node.head(1)
    node.lie = lie
    with pytest.raises(raised):
        await asking(node).of(head)
    assert now() == 0


@pytest.mark.parametrize("verify", ["hash", "bloom", "receipts"])
@pytest.mark.parametrize(
    "error", [RPCError(429, "Too many requests"), RPCError(-32603, "Internal error")]
)
async def test_a_node_that_stays_busy_or_broken_is_late_and_the_stream_goes_on(
    error: RPCError, verify: Verify
) -> None:
    node = FakeNode([0, 1])

    def lie(*_: Any) -> Any:
        raise error

    head = node.head(1)
    node.lie = lie
    with pytest.raises(BlockLogsLate, match="block 1 in time") as caught:
        await asking(node, verify).of(head)
    assert caught.value.__cause__ is error
    assert len(node.calls) == Limits().attempts
