"""benchmarks/adapters: what is counted, and what the page says of it."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING

import pytest

from benchmarks.adapters import page, websockets
from benchmarks.adapters.contest import Outcome, play
from benchmarks.adapters.faults import TROUBLES
from benchmarks.adapters.program import Program
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_shows_the_middle_play(tmp_path: Path) -> None:
    fast = Outcome(made=10, missing=1, back=0.1, dials=1, cpu=0.5)
    slow = Outcome(made=20, missing=2, back=5.0, dials=2, repeated=3, sent=9, unheard=4)
    never = Outcome(made=30, missing=3, dials=3)
    ended = Outcome(made=30, missing=3, dials=3, ended=True)
    path = tmp_path / "sub" / "page.md"
    page.write(
        {
            ("websockets", "killed", "alone"): [never, fast, slow],
            ("websockets", "killed", "ours"): [fast],
            ("websockets", "frozen", "alone"): [never],
            ("websockets", "frozen", "ours"): [ended],
        },
        [websockets.CONTEST],
        path,
    )
    assert "Plays of each: 1 to 3;" in path.read_text()
    rows = re.findall(r"^\| (?:killed|frozen) .*$", path.read_text(), re.MULTILINE)
    assert rows == [
        "| killed | alone | 2 of 20, twice: 3 | 5.0 s | 2 |  | 9, 4 |",
        "| killed | ours | 1 of 10 | 0.1 s | 1 | 50.0% |  |",
        "| frozen | alone | 3 of 30 | never | 3 |  |  |",
        "| frozen | ours | 3 of 30 | the program ended | 3 |  |  |",
    ]


def test_the_page_was_written_by_the_command() -> None:
    text = (ROOT / "docs" / "adapters" / "campaign.md").read_text()
    assert text.startswith("# Libraries alone, and on our session\n\nWritten by ")
    for trouble in TROUBLES:
        assert f"| {trouble.name} | ours |" in text


@pytest.mark.wire
async def test_a_program_tells_what_it_saw() -> None:
    code = 'import sys; print(\'{"event": "got", "number": 7, "at": 5}\'); print(\'x\')'
    async with Program("-c", code) as program:
        assert await program.got(since=1, within=30) == 5
        assert await program.got(since=9, within=30) is None
        assert program.numbers("got") == [7]
        assert program.words == ["x"]
        assert program.ended
        assert program.cpu() == 0.0


@pytest.mark.wire
@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="reads /proc")
async def test_a_play_counts_dials_and_messages() -> None:
    [trouble] = [one for one in TROUBLES if one.name == "restarted"]
    outcome = await play(websockets.CONTEST, "ours", trouble)
    assert outcome.back is not None
    assert 1 <= outcome.dials <= 20
    assert not outcome.ended
    assert outcome.made > 0
    assert outcome.missing < outcome.made
    assert outcome.repeated == 0
    assert outcome.sent > 0
