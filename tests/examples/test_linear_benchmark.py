"""benchmarks/linear.py: a figure for each message and each flood."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.examples.program import Program
from tests.record import PROGRAM_PATIENCE


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.endurance
@pytest.mark.wire
async def test_a_quick_run_gives_every_figure(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    name = "../benchmarks/linear.py"
    async with Program(name, "--quick", "--json", str(figures)) as benchmark:
        assert await benchmark.ended(within=PROGRAM_PATIENCE) == 0, benchmark.lines

    found = json.loads(figures.read_text())
    measured = {(row["kind"], row["frames"], row["chunk"]) for row in found["parsers"]}
    assert len(measured) == len(found["parsers"]) == 8
    for row in found["parsers"]:
        # A quadratic parser would be at sixteen.
        assert 0 < row["resilient_ws"]["ratio"] < 4
    for row in found["floods"]:
        if row["client"] == "resilient_ws":
            assert row["ended"] == "done"
            assert row["memory"] < 16 * 1024 * 1024
    assert {row["flood"] for row in found["floods"]} == {
        "empty fragments",
        "pings",
        "unsolicited pongs",
    }
