"""benchmarks/speed: everyone gets everything, and every promise is judged."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.speed.page import written
from benchmarks.speed.verdicts import verdicts
from tests.examples.program import Program


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.endurance
@pytest.mark.wire
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and resets sockets")
async def test_a_quick_run_gives_a_figure_for_each_scenario_and_client(
    tmp_path: Path,
) -> None:
    figures = tmp_path / "performance.json"
    # As a module, for it is a package.
    code = "import runpy; runpy.run_module('benchmarks.speed', run_name='__main__')"
    starter = tmp_path / "start.py"
    starter.write_text(code)
    arguments = ["--quick", "--json", str(figures)]
    async with Program(str(starter), *arguments) as benchmark:
        assert await benchmark.ended(within=170) == 0, benchmark.lines[-20:]

    result = json.loads(figures.read_text())
    measured = {
        (row["scenario"], row["link"], row["client"]): row for row in result["wire"]
    }
    for link in ("plain", "tls", "deflate"):
        for client in ("resilient_ws", "aiohttp", "websockets"):
            for scenario in ("receive", "send"):
                assert measured[scenario, link, client]["cpu"] > 0
    for scenario in ("echo", "segment", "drip"):
        assert measured[scenario, "plain", "resilient_ws"]["cpu"] > 0
    for row in result["wire"]:
        assert row["met"] == (row["target"] and row["ratio"] >= row["target"])
    assert [row["client"] for row in result["feed"]][:2] == ["resilient_ws", "aiohttp"]
    for row in result["recovery"]:
        assert row["back"] == row["count"]

    page = written(result)
    for verdict in verdicts(result):
        assert (f"- {verdict.name}: **{verdict.said}**" in page) is not verdict.met
