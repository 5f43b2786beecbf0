from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.errors import HistoryPruned
from resilient_ws.feeds.evm.block_logs import BlockReplaced
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_query import LogQuery
from resilient_ws.feeds.evm.node_calls import NodeCalls
from resilient_ws.feeds.evm.tracked_logs import TrackedLogs
from tests.feeds.evm.fake_node import ADDRESS, FakeNode, word
from tests.record import now


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.log_checks import Verify
    from resilient_ws.feeds.evm.tracked_logs import LogsFound
    from resilient_ws.feeds.evm.types import Head

COUNTS = [n % 4 for n in range(100)]


async def found(
    node: FakeNode, heads: list[Head], *, live: bool = False, verify: Verify = "bloom"
) -> list[LogsFound]:
    limits = Limits()
    query = LogQuery(
        wanted=LogFilter(address=ADDRESS), verify=verify, limits=limits, patience=10.0
    )
    asking = TrackedLogs(NodeCalls(node.call, limits), query)
    return [one async for one in asking.of(heads, live=live)]


def all_there(told: list[LogsFound], heads: list[Head]) -> bool:
    """Whether each block came in its order, with all its logs."""
    assert [head for head, _ in told] == heads
    return all(
        isinstance(logs, tuple)
        and [log.logIndex for log in logs] == list(range(COUNTS[head.number]))
        for head, logs in told
    )


@pytest.mark.parametrize("verify", ["hash", "bloom", "receipts"])
@pytest.mark.parametrize("live", [True, False])
async def test_blocks_come_in_order_with_all_their_logs(
    *, live: bool, verify: Verify
) -> None:
    node = FakeNode(COUNTS, delay=0.1)
    heads = [node.head(n) for n in range(100)]
    assert all_there(await found(node, heads, live=live, verify=verify), heads)
    by_hash = live or verify == "receipts"
    assert len(node.calls) == 100 if by_hash else len(node.calls) < 10
    # Several are asked for at once.
    assert now() == pytest.approx(0.7 if by_hash else 0.3)


async def test_a_range_that_loses_blocks_is_made_good_by_hash() -> None:
    node = FakeNode(COUNTS)

    def lie(method: str, what: Any) -> Any:
        if method == "eth_getLogs" and "fromBlock" in what:
            first, last = int(what["fromBlock"], 16), int(what["toBlock"], 16)
            return [
                log for n in range(first, last + 1) if n % 3 for log in node.logs(n)
            ]
        return NotImplemented

    node.lie = lie
    heads = [node.head(n) for n in range(100)]
    assert all_there(await found(node, heads), heads)


async def test_a_range_of_another_chain_is_not_believed() -> None:
    """A back end that is on the other side of a fork, as its last block shows."""
    node, other = FakeNode(COUNTS), FakeNode([1] * 100)
    other.hash = lambda number: word("other", number)  # type: ignore[method-assign]
    lies = [1, 1]

    def lie(method: str, what: Any) -> Any:
        if method == "eth_getLogs" and "fromBlock" in what:
            first, last = int(what["fromBlock"], 16), int(what["toBlock"], 16)
            return [log for n in range(first, last + 1) for log in other.logs(n)]
        if method == "eth_getBlockByNumber" and lies:
            lies.pop()
            return other.block(int(what, 16))
        return NotImplemented

    node.lie = lie
    heads = [node.head(n) for n in range(100)]
    assert all_there(await found(node, heads), heads)


@pytest.mark.parametrize("live", [True, False])
async def test_a_block_that_was_replaced_ends_it(*, live: bool) -> None:
    node = FakeNode(COUNTS)
    heads = [node.head(n) for n in range(10)]
    before = node.hash

    def after(number: int) -> str:
        return word("new", number) if number > 7 else before(number)

    node.hash = after  # type: ignore[method-assign]
    with pytest.raises(BlockReplaced):
        await found(node, heads, live=live)


async def test_a_block_whose_logs_are_gone_comes_with_the_reason() -> None:
    node = FakeNode(COUNTS)

    def lie(method: str, what: Any) -> Any:
        if method != "eth_getLogs":
            return NotImplemented
        if "fromBlock" in what or what["blockHash"] == node.hash(5):
            raise RPCError(4444, "pruned history unavailable")
        return NotImplemented

    node.lie = lie
    heads = [node.head(n) for n in range(10)]
    told = await found(node, heads)
    assert [head for head, _ in told] == heads
    missing = [head.number for head, logs in told if isinstance(logs, HistoryPruned)]
    assert missing == [5]


async def test_a_filter_that_the_node_refuses_is_told() -> None:
    node = FakeNode(COUNTS)
    heads = [node.head(n) for n in range(10)]

    def lie(*_: Any) -> Any:
        raise RPCError(-32602, "invalid argument 0")

    node.lie = lie
    with pytest.raises(RPCError, match="invalid argument"):
        await found(node, heads)
