"""docs/observability.md: its programs run, and its command writes it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import urllib.request
from typing import TYPE_CHECKING, Final

import pytest

from resilient_ws.testing import ScriptedServer
from tests.examples.program import Program
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT, free_port, output_of


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire

PAGE: Final = ROOT / "docs" / "observability.md"
BLOCKS: Final = re.findall(
    r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
)


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        text: str = response.read().decode()
    return text


@pytest.mark.parametrize("number", [0, 1], ids=["prometheus", "otel"])
async def test_a_program_of_the_page_runs(number: int, tmp_path: Path) -> None:
    measured = asyncio.Event()

    async def once(peer: Peer) -> None:
        await peer.accept()
        await peer.send("a message")
        await measured.wait()
        await peer.ended()

    port = free_port()
    async with ScriptedServer(once) as server:
        text = BLOCKS[number].replace("wss://stream.example.com/feed", server.url())
        program = tmp_path / "program.py"
        program.write_text(text.replace("9100", str(port)))
        async with Program(str(program)) as running:
            await running.said("a message")
            if number == 0:
                seen = await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}/")
                assert 'resilient_ws_session_name="trades"' in seen
                assert "resilient_ws_outage_age_seconds{" in seen
            measured.set()


async def test_the_command_writes_its_parts(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shutil.copy(PAGE, page)
    command = ["-m", "benchmarks.instruments", "--counts", "1", "3"]
    await output_of(
        sys.executable,
        *command,
        "--write",
        str(page),
        within=PROGRAM_PATIENCE,
        PYTHONPATH=".",
    )
    text = page.read_text()
    rows = re.findall(r"^\| (\d+)(, after.*)? \| \d+ \|", text, re.MULTILINE)
    assert rows == [("1", ""), ("3", ""), ("3", ", after `gc.freeze()`")]
    for said in ("trades: back after", "INFO", '"session": "trades"', "token=***"):
        assert said in text
    assert "s3cr3t" not in text
