"""benchmarks/speed: everyone gets everything, and every promise is judged."""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from benchmarks import twins
from benchmarks.speed import follow, traders
from benchmarks.speed.__main__ import merged
from benchmarks.speed.clients import PURE, US, Changed, pure
from benchmarks.speed.compare import Arena
from benchmarks.speed.frames import numbered
from benchmarks.speed.page import written
from benchmarks.speed.plan import FLOOR, LINKS, PEERS, Cell
from benchmarks.speed.tables import NO_COMPILER, distance
from benchmarks.speed.targets import cpu_target, time_target
from benchmarks.speed.verdicts import verdicts
from tests.examples.program import Program
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import daemon, missing


if TYPE_CHECKING:
    from pathlib import Path

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc and resets sockets"
)
KIB = 1024
MIB = 1024 * 1024


@pytest.mark.endurance
@pytest.mark.wire
@LINUX
async def test_a_quick_run_gives_a_figure_for_each_scenario_and_client(
    tmp_path: Path,
) -> None:
    daemon("cc", "gcc")
    if not twins.built():
        missing("the compiled part", "pip install --editable .")
    figures = tmp_path / "performance.json"
    # As a module, for it is a package.
    code = "import runpy; runpy.run_module('benchmarks.speed', run_name='__main__')"
    starter = tmp_path / "start.py"
    starter.write_text(code)
    arguments = ["--quick", "--json", str(figures)]
    async with Program(str(starter), *arguments) as benchmark:
        assert await benchmark.ended(within=PROGRAM_PATIENCE) == 0, benchmark.lines[
            -20:
        ]

    result = json.loads(figures.read_text())
    everything_was_measured(result)
    page = written(result)
    for verdict in verdicts(result):
        assert (f"- {verdict.name}: **{verdict.said}**" in page) is not verdict.met
    for way in traders.OURS:
        assert f"| {way.name} |" in page
    [head] = {line for line in page.splitlines() if "best peer |" in line}
    assert page.split(head)[1].count("(+") == 6, "three clients at two sizes"


def everything_was_measured(result: dict[str, Any]) -> None:
    measured = {
        (row["scenario"], row["link"], row["client"]): row for row in result["wire"]
    }
    expected = [
        *itertools.product(("receive", "send"), LINKS, (US, PURE, *PEERS[:2])),
        *itertools.product(("echo", "segment", "batch"), LINKS[:1], (US, PURE)),
        ("drip", "plain", US),
        ("receive", "plain", FLOOR),
    ]
    assert [key for key in expected if measured[key]["cpu"] <= 0] == []
    for row in result["wire"]:
        for one in row["beside"].values():
            assert one["met"] == (one["target"] and one["ratio"] >= one["target"])
    assert [row["client"] for row in result["feed"]][:2] == [US, "aiohttp"]
    assert {row["client"] for row in result["follow"]} == set(follow.CLIENTS)
    assert [row for row in result["recovery"] if row["back"] != row["count"]] == []


@pytest.mark.parametrize(
    ("cell", "peer", "compiled", "in_python"),
    [
        (("receive", 64), "aiohttp", 3.8, 2.0),
        (("receive", KIB), "aiohttp", 1.3, 1.3),
        (("receive", 16 * KIB), "aiohttp", 1.0, 1.0),
        (("receive", 64), "picows, queue", 2.5, 1.0),
        (("receive", KIB), "picows, queue", 1.9, 1.0),
        (("receive", 16 * KIB), "picows, queue", 0.95, 0.9),
        (("receive", MIB), "picows, queue", 1.0, 0.9),
        (("receive", MIB), "picows, deque", 1.0, None),
        (("receive", 16 * KIB), "picows, deque", None, None),
        (("receive", KIB), "websockets", 4.0, 4.0),
        (("receive", 16 * KIB), "websockets", None, None),
        (("receive", MIB), "websockets", 1.0, None),
        (("batch", 64), "aiohttp", 8.0, 3.3),
        (("batch", KIB), "aiohttp", None, None),
        (("echo", 64), "aiohttp", 0.97, 0.95),
        (("send", 16 * KIB), "aiohttp", 1.0, 1.0),
        (("send", 64), "picows, queue", None, None),
        (("receive", 64), US, None, None),
        (("receive", 64), PURE, None, None),
        (("receive", 64), FLOOR, None, None),
    ],
)
def test_each_twin_has_targets_of_its_own(
    cell: tuple[str, int], peer: str, compiled: float | None, in_python: float | None
) -> None:
    scenario, size = cell
    played = Cell(scenario=scenario, loop="asyncio", size=size, count=1)
    assert cpu_target(played, US, peer) == compiled
    assert cpu_target(played, PURE, peer) == in_python
    assert time_target(played, peer) == (1.0 if scenario == "echo" else None)
    # Encrypted and compressed: never slower than aiohttp, and no more is promised.
    for link in ("tls", "deflate"):
        other = attrs.evolve(played, link=link)
        wanted = 1.0 if scenario != "echo" and peer == "aiohttp" else None
        if scenario in {"receive", "send"}:
            assert cpu_target(other, US, peer) == wanted


@pytest.mark.wire
@LINUX
def test_a_run_without_the_compiled_part_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = twins.environment
    # What a worker without the compiled part is.
    monkeypatch.setattr(twins, "environment", lambda **_: environment(pure=True))
    with Arena() as arena:
        arena.worker(PURE, "asyncio")
        with pytest.raises(SystemExit, match=r"pip install .*--editable"):
            arena.worker(US, "asyncio")


@pytest.mark.wire
@LINUX
def test_the_floor_reads_what_the_others_receive() -> None:
    daemon("cc", "gcc")
    cell = Cell(
        scenario="receive",
        loop="asyncio",
        size=64,
        count=2_000,
        clients=("aiohttp", FLOOR),
        rounds=1,
    )
    with Arena() as arena:
        [theirs], [floor] = arena.played(cell).values()
    assert 0 < floor["cpu"] < theirs["cpu"]


def test_without_a_compiler_the_page_says_that_there_is_no_floor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cell = Cell(
        scenario="receive", loop="asyncio", size=64, count=1, clients=(US, FLOOR)
    )
    assert cell.present == [US]
    row = {"scenario": "receive", "loop": "asyncio", "kind": "text", "link": "plain"}
    assert distance([{**row, "size": 64, "client": US, "cpu": 1.0}])[-1] == NO_COMPILER


@pytest.mark.wire
@LINUX
def test_every_way_follows_trades_to_the_last() -> None:
    cell = attrs.evolve(follow.cell("asyncio", quick=True), count=500)
    ways = tuple(name for name in cell.clients if name not in map(pure, cell.clients))
    with Arena() as arena:
        for name in ways:
            if name.startswith(US):
                name = pure(name)  # noqa: PLW2901 - whether it is built is not the question
            assert arena.measure(cell, name, cell.count)["cpu"] > 0


def test_a_trade_is_of_one_size_and_a_wrong_one_is_seen() -> None:
    assert {len(numbered(number)) for number in range(0, 100_000, 97)} == {112}
    last = traders.DECODE(numbered(9))
    traders.check(last, 10)
    for wrong in (None, traders.DECODE(numbered(8))):
        with pytest.raises(Changed):
            traders.check(wrong, 10)


def test_what_is_measured_again_takes_its_place_and_the_rest_stays() -> None:
    def rows(*scenarios: str) -> list[dict[str, Any]]:
        return [{"scenario": scenario} for scenario in scenarios]

    again = [{"scenario": "echo", "new": True}]
    assert merged(rows("receive", "echo"), again) == [*rows("receive"), *again]
    assert merged(rows("feed"), []) == rows("feed")
    assert merged(None, again) == again
    assert merged({"held": 1}, {"held": 2}) == {"held": 2}
