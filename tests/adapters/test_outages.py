"""One outage for each endpoint: in virtual time, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed, wait_incrementing

from resilient_ws import HandshakeRejected, Reconnect
from resilient_ws.adapters.outages import SPACING, EndpointOutage, Outages


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState


URL = "ws://example.com/feed"


def now() -> float:
    return asyncio.get_running_loop().time()


class Dials:
    """Notes when each dial began; each takes a second, and fails while it is told to."""

    def __init__(self, *, fail: bool = True, because: Exception | None = None) -> None:
        self.fail = fail
        self.because = because or OSError("no")
        self.began: list[float] = []
        self.under_way = self.most = 0

    async def enter(self) -> None:
        self.began.append(now())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(1)
        finally:
            self.under_way -= 1
        if self.fail:
            raise self.because


def outages(wait: object = None, **options: float) -> Outages:
    return Outages(Reconnect(wait=wait or wait_fixed(10), **options))  # type: ignore[arg-type]


async def tried(outage: EndpointOutage, enter: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(OSError):
        await outage.dial(enter)


async def test_the_query_and_the_caller_make_no_difference() -> None:
    known = outages()
    assert known.of(f"{URL}?sid=1") is known.of(f"{URL}?sid=2")
    assert known.of(URL) is not known.of("ws://example.com/other")


async def test_a_loop_without_a_pause_dials_as_the_policy_says() -> None:
    dials, outage = Dials(), outages(wait_incrementing(2, 2)).of(URL)
    for _ in range(4):
        await tried(outage, dials.enter)
    gaps = [b - a for a, b in itertools.pairwise(dials.began)]
    # The second that the dial took, and the wait.
    assert gaps == pytest.approx([3, 5, 7])


async def test_many_callers_share_one_outage() -> None:
    dials, outage = Dials(), outages().of(URL)
    await tried(outage, dials.enter)
    callers = [asyncio.create_task(tried(outage, dials.enter)) for _ in range(20)]
    await asyncio.sleep(100)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert dials.most == 1
    # One in eleven seconds, give or take the second in which each looks again.
    assert 8 <= len(dials.began) <= 11


async def test_without_trouble_nobody_waits() -> None:
    dials, outage = Dials(fail=False), outages().of(URL)
    began = now()
    await asyncio.gather(*(outage.dial(dials.enter) for _ in range(20)))
    assert dials.began == [began] * 20


async def test_a_connection_that_ends_counts_until_one_is_stable() -> None:
    outage = outages(wait_incrementing(1, 1)).of(URL)
    dials = Dials(fail=False)
    for _ in range(3):
        await outage.dial(dials.enter)
        outage.failed(None, now())
    assert outage.failures == 3
    outage.recovered()
    assert outage.failures == 0
    began = now()
    await outage.dial(dials.enter)
    assert dials.began[-1] == began


async def test_after_a_success_in_an_outage_the_next_dial_is_soon() -> None:
    dials, outage = Dials(), outages().of(URL)
    await tried(outage, dials.enter)
    dials.fail = False
    await outage.dial(dials.enter)
    await outage.dial(dials.enter)
    # It is known to be up, though not to be stable.
    assert dials.began[2] - dials.began[1] == pytest.approx(1.0, abs=SPACING)


async def test_retry_after_is_added_and_capped() -> None:
    busy = HandshakeRejected("no", status=503, headers={"retry-after": "100"})
    for cap, wanted in ((1000.0, 111.0), (50.0, 61.0)):
        dials = Dials(because=busy)
        outage = outages(retry_after_cap=cap).of(URL)
        for _ in range(2):
            with pytest.raises(HandshakeRejected):
                await outage.dial(dials.enter)
        assert dials.began[1] - dials.began[0] == pytest.approx(wanted)


async def test_a_cancelled_dial_makes_the_next_no_sooner_than_its_turn() -> None:
    dials, outage = Dials(), outages().of(URL)
    await tried(outage, dials.enter)
    waiting = asyncio.create_task(outage.dial(dials.enter))
    await asyncio.sleep(5)
    waiting.cancel()
    await asyncio.wait([waiting])
    under_way = asyncio.create_task(outage.dial(dials.enter))
    await asyncio.sleep(5.5)
    assert len(dials.began) == 2
    under_way.cancel()
    await asyncio.wait([under_way])
    await tried(outage, dials.enter)
    assert dials.began[1] - dials.began[0] == pytest.approx(11)
    assert dials.began[2] - dials.began[1] >= SPACING


async def test_leaving_a_young_connection_spaces_the_next_dial() -> None:
    dials, outage = Dials(fail=False), outages().of(URL)
    began = now()
    outage.left(began)
    await outage.dial(dials.enter)
    assert dials.began == pytest.approx([began + SPACING])
    assert outage.failures == 0


async def test_a_wait_may_look_at_the_failure() -> None:
    seen: list[BaseException | None] = []

    def wait(state: RetryCallState) -> float:
        assert state.outcome is not None
        seen.append(state.outcome.exception())
        return 3.0

    dials, outage = Dials(), outages(wait).of(URL)
    for _ in range(2):
        await tried(outage, dials.enter)
    assert seen == [dials.because] * 2
    assert dials.began[1] - dials.began[0] == pytest.approx(4)


async def test_those_that_fail_together_are_one_failure() -> None:
    dials, outage = Dials(), outages(wait_incrementing(1, 1)).of(URL)
    await asyncio.gather(*(tried(outage, dials.enter) for _ in range(20)))
    assert outage.failures == 1
    await tried(outage, dials.enter)
    assert outage.failures == 2


async def test_endpoints_that_are_well_are_forgotten() -> None:
    known = outages()
    known.of(URL).failed(None, now())
    for number in range(3_000):
        known.of(f"ws://example.com/{number}")
    assert len(known._known) <= 1_001
    assert known.of(URL).failures == 1
