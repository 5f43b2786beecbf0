"""benchmarks/receive.py: every library receives everything, and is judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.examples.program import Program


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.wire
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_short_run_gives_a_figure_for_each_size_and_library(
    tmp_path: Path, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    figures = tmp_path / "figures.json"
    # More messages than the inbox holds, so that reading pauses and goes on.
    arguments = ["--messages", "5000", "--rounds", "1", "--loop", loop]
    name = "../benchmarks/receive.py"
    async with Program(name, *arguments, "--json", str(figures)) as benchmark:
        assert await benchmark.ended(within=60) == 0, benchmark.lines

    rows = json.loads(figures.read_text())
    measured = {(row["size"], row["library"]) for row in rows}
    for size in (64, 256, 1024):
        for library in ("resilient_ws", "aiohttp", "websockets"):
            assert (size, library) in measured
    for row in rows:
        assert row["microseconds"] > 0
        assert row["met"] == (row["target"] and row["ratio"] >= row["target"])
