"""The benchmark of feeds runs, and its page says what was missed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.feeds import page
from benchmarks.feeds.clients import CLIENTS
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import output_of


if TYPE_CHECKING:
    import pathlib


async def test_every_client_takes_the_items_and_the_page_has_their_figures(
    tmp_path: pathlib.Path,
) -> None:
    for peer in ("web3", "socketio"):
        pytest.importorskip(peer)
    written = tmp_path / "page.md"
    command = ["-m", "benchmarks.feeds", "--rounds", "1", "--scale", "0.002"]
    await output_of(
        sys.executable,
        *command,
        "--write",
        str(written),
        within=PROGRAM_PATIENCE,
        PYTHONPATH=".",
    )
    text = written.read_text()
    for name in CLIENTS:
        assert f"| {name} |" in text
    assert "99 of 100" in text


def test_an_aim_is_reached_or_missed() -> None:
    def runs(cpu: float) -> list[dict[str, float]]:
        return [{"cpu": cpu, "wall": cpu}]

    taken = {page.US: runs(2.0), page.HAND[0]: runs(3.0), page.HAND[1]: runs(6.0)}
    rate, *by_hand, _ = page.verdicts({"throughput": {"trade": taken}})
    assert rate.startswith("- Reached: 500,000 notifications")
    assert by_hand[0].startswith("- **Missed**: 1.50 times")
    assert by_hand[1].startswith("- Reached: 3.00 times")
