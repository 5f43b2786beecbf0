"""benchmarks/outbox.py: what came out is checked, and every library has its figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.outbox import RIVALS, check
from tests.examples.program import Program
from tests.record import PROGRAM_PATIENCE


if TYPE_CHECKING:
    from pathlib import Path


def test_a_figure_counts_only_for_what_came_out_whole() -> None:
    check([0, 1, 2, 3, 4, 5], 6, 1)
    check([1, 0, 3, 2, 5, 4], 6, 2)


@pytest.mark.parametrize(
    ("numbers", "senders"),
    [
        pytest.param([0, 1, 2, 3, 4], 1, id="lost"),
        pytest.param([0, 1, 2, 3, 4, 5, 5], 1, id="repeated"),
        pytest.param([0, 1, 3, 2, 4, 5], 1, id="reordered"),
        pytest.param([0, 1, 4, 3, 2, 5], 2, id="reordered within a sender's"),
    ],
)
def test_what_did_not_is_an_error(numbers: list[int], senders: int) -> None:
    with pytest.raises(AssertionError):
        check(numbers, 6, senders)


@pytest.mark.endurance
@pytest.mark.wire
async def test_a_short_run_writes_a_page(tmp_path: Path) -> None:
    page = tmp_path / "outbox.md"
    arguments = ["--quick", "--rounds", "1", "--folder", str(tmp_path)]
    name = "../benchmarks/outbox.py"
    async with Program(name, *arguments, "--write", str(page)) as benchmark:
        assert await benchmark.ended(within=PROGRAM_PATIENCE) == 0, benchmark.lines

    figures = json.loads(page.with_suffix(".json").read_text())
    measured = {(row["senders"], row["library"]) for row in figures["disk"]}
    libraries = {*RIVALS, *(rival for own in RIVALS.values() for rival in own)}
    assert measured == {(n, library) for n in (1, 100) for library in libraries}
    assert set(figures["durability"]) == libraries
    for row in figures["disk"]:
        assert row["rounds"][0]["accepted"] > 0
        assert row["rounds"][0]["drained"] > 0
    assert figures["memory"]["memory"] > 64
    verdicts = [
        line.split(":")[0] for line in page.read_text().splitlines() if ": " in line
    ]
    told = [one for one in verdicts if one in {"- met", "- **missed**"}]
    assert told == sorted(told)
    assert len(told) == 14
