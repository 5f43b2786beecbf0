"""What the commands of this folder show with real processes, at a smaller scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.feeds.endurance import calls, floods, page, returns, slow, wrongs


if TYPE_CHECKING:
    import pathlib

pytestmark = pytest.mark.wire


async def test_calls_over_a_link_that_is_cut_agree_with_the_ledger(
    tmp_path: pathlib.Path,
) -> None:
    campaign = calls.Campaign(20_000, seed=7, cut_every=0.3, kills=1)
    await campaign.run(tmp_path / "ledger")
    assert campaign.faults(tmp_path / "ledger") == []
    assert {told.how for told in campaign.told.values()} == set(calls.ENDS)
    assert len(campaign.dropped) > 1
    assert "| answered | once |" in campaign.report(tmp_path / "ledger")


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_many_subscriptions_come_back_at_their_pace(
    tmp_path: pathlib.Path, rate: float | None
) -> None:
    seen = await returns.come_back(
        tmp_path / "ledger", count=100, rate=rate, drops=1, settle=0.5
    )
    assert seen.faults == []
    assert set(seen.back) == set(returns.FAULTS)
    assert seen.fetches > 0


@pytest.mark.parametrize("variant", ["refill", "gap"])
async def test_a_slow_consumer_disturbs_nobody(
    tmp_path: pathlib.Path, variant: slow.Variant
) -> None:
    seen = await slow.one_is_slow(
        tmp_path / "ledger",
        variant=variant,
        count=30,
        items=40.0,
        seconds=3.0,
        buffer=16,
    )
    assert seen.faults == []
    assert seen.behind > 16


async def test_floods_and_wrong_answers_are_counted_and_harmless() -> None:
    seen, ended, faults = await floods.endure_all(500, 20)
    assert faults == []
    assert {one.name for one in seen} == set(floods.FLOODS)
    assert len(ended) == 2 * len(wrongs.WRONGS)


def test_a_campaign_writes_its_section_and_leaves_the_others(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "page.md"

    def write(name: str, text: str, *faults: str) -> None:
        section = page.Section(
            name=name, options="", text=text, faults=faults, seconds=1, load=(0.1, 0.2)
        )
        page.write(path, section)

    write("floods", "first")
    write("calls", "second", "a fault")
    write("floods", "third")
    text = path.read_text()
    assert text.index("second") < text.index("Promises broken: 1.")
    assert text.index("- a fault") < text.index("third")
    assert "first" not in text
