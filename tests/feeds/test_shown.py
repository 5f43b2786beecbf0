"""What the commands of this folder show with real processes, at a smaller scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.feeds import calls, crowd, flood


if TYPE_CHECKING:
    import pathlib

pytestmark = pytest.mark.wire


async def test_calls_over_a_link_that_is_cut_agree_with_the_ledger(
    tmp_path: pathlib.Path,
) -> None:
    campaign = calls.Campaign(20_000, seed=7, cut_every=0.3, kills=1, timeout=3.0)
    await campaign.run(tmp_path / "ledger")
    assert campaign.faults(tmp_path / "ledger") == [], campaign.report()
    ends = {told.how for told in campaign.told.values()}
    assert ends == {"answered", "RPCError", "CallTimeout", "CallLost"}
    assert campaign.drops > 1


async def test_many_subscriptions_come_back_at_their_pace(
    tmp_path: pathlib.Path,
) -> None:
    seen, faults = await crowd.come_back(
        tmp_path / "ledger", count=100, rate=100.0, settle=1.0
    )
    assert faults == [], seen


async def test_a_slow_consumer_disturbs_nobody(tmp_path: pathlib.Path) -> None:
    seen, faults = await crowd.one_is_slow(
        tmp_path / "ledger", count=30, items=40.0, seconds=4.0, buffer=16
    )
    assert faults == [], seen


async def test_floods_are_counted_and_harmless() -> None:
    seen, faults = await flood.endure_all(2000)
    assert faults == [], [str(one) for one in seen]
