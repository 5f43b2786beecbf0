"""benchmarks/pongs.py: what it calls the answers of a server, and a page of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.pongs import Seen, judged
from tests.servers.process import output_of


if TYPE_CHECKING:
    from pathlib import Path


ASKED = {b"1": 10.0, b"2": 10.1, b"3": 10.2}
ALL = (b"1", b"2", b"3")


@pytest.mark.parametrize(
    ("pongs", "goes_on", "words"),
    [
        pytest.param([(p, 10.25) for p in ALL], 99.0, "at once", id="at once"),
        pytest.param([(p, 12.0) for p in ALL], 11.5, "late", id="busy"),
        pytest.param([(p, 12.0) for p in ALL], 99.0, "late", id="slow"),
        pytest.param([(b"3", 12.0)], 11.5, "only the newest, late", id="newest"),
        pytest.param([(b"1", 12.0)], 11.5, "only the oldest, late", id="oldest"),
        pytest.param(
            [(b"1", 10.01), (b"2", 10.11)], 99.0, "2 of 3, at once", id="some"
        ),
        pytest.param(
            [(p, 10.3) for p in (b"2", b"1", b"3")],
            99.0,
            "out of order, at once",
            id="order",
        ),
        pytest.param(
            [(b"1", 10.1), (b"2", 10.2), (b"3", 12.0)], 11.5, "1 of 3 late", id="partly"
        ),
        pytest.param(
            [(b"", 10.0), *((p, 10.25) for p in ALL)],
            99.0,
            "at once, and unasked",
            id="unasked",
        ),
        pytest.param([(b"", 10.0)], 99.0, "never", id="never"),
    ],
)
def test_a_server_is_judged_by_its_pongs(
    pongs: list[tuple[bytes, float]], goes_on: float, words: str
) -> None:
    seen: Seen = judged(pongs, ASKED, goes_on)
    assert seen.words == words


@pytest.mark.wire
async def test_a_page_is_written_of_a_real_server(tmp_path: Path) -> None:
    page = tmp_path / "pongs.md"
    arguments = ["--only", "node", "--rounds", "1", "--write", str(page)]
    module = ("-m", "benchmarks.pongs")
    await output_of(sys.executable, *module, *arguments, within=90.0)
    rows = [line for line in page.read_text().splitlines() if "node ws, " in line]
    assert len(rows) == 2
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        # Its application reads or it does not answer: the sixth column has none.
        assert [cell.split(" (")[0] for cell in cells[1:]] == [
            "at once",
            "late",
            "late",
            "late",
            "never",
            "never",
        ]
