from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import CallLost, CallTimeout, RPCError
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.node_calls import NodeCalls
from tests.feeds.evm.fake_node import FakeNode
from tests.record import now


if TYPE_CHECKING:
    from collections.abc import Sequence


class Answers:
    """Answers each call with the next of a list."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.at: list[float] = []

    async def call(self, *_: object) -> Any:
        self.at.append(now())
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def lost() -> CallLost:
    return CallLost("lost", maybe_executed=True)


def timed_out(*, sent: bool) -> CallTimeout:
    return CallTimeout("late", after=30, maybe_executed=sent)


BUSY = RPCError(429, "Too many requests")


async def test_no_more_calls_than_the_window_are_in_flight() -> None:
    node = FakeNode([0] * 100, delay=1)
    calls = NodeCalls(node.call, Limits(window=16))
    asked = [calls.ask("eth_getBlockByNumber", hex(n), False) for n in range(100)]
    blocks = await asyncio.gather(*asked)
    assert [int(block["number"], 16) for block in blocks] == list(range(100))
    assert node.most_in_flight == 16


async def test_calls_keep_the_rate() -> None:
    node = FakeNode([0])
    calls = NodeCalls(node.call, Limits(rate=20))
    await asyncio.sleep(10)
    await asyncio.gather(
        *(calls.ask("eth_getBlockByNumber", "0x0") for _ in range(100))
    )
    assert now() - 10 == pytest.approx(99 / 20 - 0.1)


async def test_too_many_requests_are_waited_out_by_all_and_the_wait_doubles() -> None:
    node = Answers(BUSY, BUSY, BUSY, 1, BUSY, 2)
    calls = NodeCalls(node.call, Limits(first_backoff=1))
    assert await calls.ask("eth_getLogs", {}) == 1
    assert node.at == [0, 1, 3, 7]
    # An answer begins the count anew.
    assert await calls.ask("eth_getLogs", {}) == 2
    assert node.at[4:] == [7, 8]


async def test_the_wait_that_the_node_asks_for_is_obeyed_up_to_the_longest() -> None:
    wait = RPCError(-32090, "Too many requests, retry in 10s")
    long = RPCError(-32090, "Too many requests, retry in 10m0s")
    node = Answers(wait, long, "x")
    calls = NodeCalls(node.call, Limits(max_backoff=60))
    assert await calls.ask("eth_getLogs", {}) == "x"
    assert node.at == [0, 10, 70]


async def test_while_one_waits_no_other_call_goes_out() -> None:
    busy_until = 5.0
    sent: list[float] = []

    async def call(method: str, params: Sequence[Any]) -> Any:
        sent.append(now())
        await asyncio.sleep(0.1)
        if now() < busy_until:
            raise BUSY
        return now()

    calls = NodeCalls(call, Limits(window=4, first_backoff=6))
    answers = await asyncio.gather(*(calls.ask("eth_getLogs", {}) for _ in range(8)))
    assert len(answers) == 8
    assert sorted(sent)[:4] == [0] * 4
    assert min(time for time in sent if time) >= 6


async def test_a_node_that_stays_busy_is_given_up_after_the_attempts() -> None:
    node = Answers(*[BUSY] * 9)
    calls = NodeCalls(node.call, Limits(attempts=3, first_backoff=1))
    with pytest.raises(RPCError, match="Too many requests"):
        await calls.ask("eth_getLogs", {})
    assert len(node.at) == 3


@pytest.mark.parametrize(
    "failure",
    [RPCError(-32602, "block range is too wide"), lost(), timed_out(sent=True)],
)
async def test_what_only_the_asker_can_deal_with_is_raised_at_once(
    failure: Exception,
) -> None:
    node = Answers(failure, 1)
    with pytest.raises(type(failure)):
        await NodeCalls(node.call, Limits()).ask("eth_getLogs", {})
    assert len(node.at) == 1


async def test_an_endpoint_that_is_not_pinned_is_asked_again_after_a_drop() -> None:
    node = Answers(lost(), timed_out(sent=False), *[lost()] * 20, 1)
    calls = NodeCalls(node.call, Limits(attempts=2), pinned=False)
    assert await calls.ask("eth_getLogs", {}) == 1


async def test_requests_that_belong_together_are_repeated_together() -> None:
    seen: list[str] = []
    failures = [lost()]

    async def call(method: str, params: Sequence[Any]) -> Any:
        seen.append(method)
        await asyncio.sleep(0.1 * len(seen))
        if method == "b" and failures:
            raise failures.pop()
        return method

    calls = NodeCalls(call, Limits(), pinned=False)
    assert await calls.ask_together(("a", []), ("b", [])) == ["a", "b"]
    assert seen == ["a", "b", "a", "b"]


async def test_a_cancelled_call_leaves_its_place() -> None:
    node = FakeNode([0], delay=10)
    calls = NodeCalls(node.call, Limits(window=1))
    task = asyncio.create_task(calls.ask_together(("a", [""]), ("b", [""])))
    await asyncio.sleep(1)
    assert node.in_flight == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert node.in_flight == 0
    await calls.ask("eth_getBlockByNumber", "0x0")
