from __future__ import annotations

import asyncio

import pytest

from resilient_ws.feeds.pace import Pace
from tests.record import now, turns


async def test_without_a_rate_nobody_waits() -> None:
    pace = Pace(None)
    for _ in range(1000):
        await pace.turn()
    assert now() == 0


async def test_turns_are_spaced_out_behind_a_small_burst_in_order() -> None:
    pace, order = Pace(50), list[int]()

    async def take(number: int) -> None:
        await pace.turn()
        order.append(number)

    await asyncio.sleep(10)
    await asyncio.gather(*(take(number) for number in range(500)))
    assert order == list(range(500))
    # A burst of a tenth of a second, and the rest at the rate.
    assert now() - 10 == pytest.approx((500 - 1) / 50 - 0.1)


async def test_who_is_cancelled_takes_no_turn() -> None:
    """On a link that flaps, a thousand subscriptions are begun over and over."""
    pace = Pace(50)
    for _ in range(20):
        tasks = [asyncio.create_task(pace.turn()) for _ in range(1000)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await turns()
    began = now()
    await pace.turn()
    assert now() - began <= 0.02


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_a_number_of_turns(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Pace(rate)
