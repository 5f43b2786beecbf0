"""README.md says what the code does, and its figures are those that were measured."""

from __future__ import annotations

import ast
import json
import re
import statistics
import tomllib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws.testing import ScriptedServer
from tests.examples.page import Page
from tests.examples.program import Program
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from resilient_ws.testing import Peer
    from tests.servers.process import ServerProcess

PAGE = Page("README.md")
README = PAGE.text
FEED = "wss://stream.example.com/feed"
LIBRARIES = ("resilient_ws", "aiohttp", "websockets", "picows")

(QUICK_START,) = (block.text for block in PAGE.python)


@pytest.mark.wire
async def test_the_quick_start_prints_what_the_server_sends(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    assert FEED in QUICK_START
    script = tmp_path / "quick_start.py"
    script.write_text(QUICK_START.replace(FEED, f"{websockets_server.url}/echo"))
    async with Program(str(script)) as program:
        said = await program.said("{")
        assert ast.literal_eval(said) == {"op": "subscribe", "channel": "trades"}


@pytest.mark.wire
async def test_the_quick_start_hears_again_after_a_restart(tmp_path: Path) -> None:
    """A server that sends to those alone who subscribe."""
    script = tmp_path / "quick_start.py"
    async with ScriptedServer(ticking("1"), ticking("2")) as server:
        script.write_text(QUICK_START.replace(FEED, server.url()))
        async with Program(str(script)) as program:
            await program.said("tick 1")
            await server.peers[0].reset()
            await program.said("tick 2")


def ticking(number: str) -> Callable[[Peer], Awaitable[None]]:
    async def tick(peer: Peer) -> None:
        await peer.accept()
        asked = json.loads(await peer.receive())
        assert asked == {"op": "subscribe", "channel": "trades"}
        await peer.send(f"tick {number}")
        await peer.ended()

    return tick


def test_the_quick_start_is_the_one_of_the_package() -> None:
    documented = re.sub(r"^ {4}", "", resilient_ws.__doc__ or "", flags=re.MULTILINE)
    assert QUICK_START.strip() in documented


def test_the_quick_start_is_short() -> None:
    code = [line for line in QUICK_START.splitlines() if line.strip()]
    assert len(code) <= 13


def cells(beginning: str) -> list[str]:
    """The figures of the row that begins so, ours first."""
    row = next(line for line in README.splitlines() if beginning in line)
    return [cell.strip().replace(",", "") for cell in row.split("|")[2:-1]]


@pytest.fixture(scope="module")
def plays() -> list[dict[str, Any]]:
    found = json.loads((ROOT / "docs" / "reliability.json").read_text())["plays"]
    assert isinstance(found, list)
    return found


def test_the_promises_kept_are_those_that_were_measured(
    plays: list[dict[str, Any]],
) -> None:
    kept: dict[str, dict[str, bool]] = defaultdict(dict)
    for play in plays:
        rows = kept[play["library"]]
        rows[play["situation"]] = rows.get(play["situation"], True) and play["kept"]
    assert cells("promises kept under") == [
        f"{sum(kept[name].values())} of {len(kept[name])}" for name in LIBRARIES
    ]


def test_the_false_alarms_are_those_that_were_measured(
    plays: list[dict[str, Any]],
) -> None:
    assert cells("healthy links given up") == [
        str(sum(p["false_alarms"] for p in plays if p["library"] == name))
        for name in LIBRARIES
    ]


def test_the_dials_are_those_that_were_measured(plays: list[dict[str, Any]]) -> None:
    row = "Server accepts and closes at once (1011)"
    dials: dict[str, list[int]] = defaultdict(list)
    for play in plays:
        if play["situation"] == row:
            dials[play["library"]].append(play["figures"]["dials"])
    assert cells("dials in 10 s") == [
        f"{statistics.median(dials[name]):.0f}" for name in LIBRARIES
    ]


@pytest.mark.parametrize(
    ("row", "size"), [("receive 64 bytes", 64), ("receive 16 KiB", 16384)]
)
def test_the_cpu_is_that_which_was_measured(row: str, size: int) -> None:
    told = json.loads((ROOT / "docs" / "performance.json").read_text())["wire"]
    wanted = ("receive", "asyncio", "plain", "text", size)
    cpu = {
        one["client"].removesuffix(", queue"): one["cpu"]
        for one in told
        if tuple(one[k] for k in ("scenario", "loop", "link", "kind", "size")) == wanted
    }
    assert cells(row) == [f"{cpu[name]:.2f}" for name in LIBRARIES]


def test_the_cases_are_those_that_were_measured() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text()
    row = re.search(r"^\| \*\*all\*\* \|(.+)\|$", page, re.MULTILINE)
    assert row is not None
    missed = [
        str(sum(map(int, re.findall(r"(\d+) (?:non-strict|failed)", verdicts))))
        for verdicts in row[1].split("|")
    ]
    assert cells("Autobahn cases") == [*missed, ""]


def test_every_extra_is_told() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = README[README.index("| extra |") :]
    told = set(re.findall(r"`([\w-]+)`", table[: table.index("\n\n")]))
    assert told - {"ws"} == set(project["optional-dependencies"])


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
