"""Every page of the documentation: its Python runs, and prints what the page says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.examples.feed_server import FeedServer
from tests.examples.page import Block, Page, pages
from tests.examples.program import Program
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.wire

#: Pages with a test of their own, which runs more of their Python than this one would.
ELSEWHERE = {
    "README.md": "test_readme",
    "docs/adapters/aiohttp.md": "test_adapters_pages",
    "docs/adapters/gql.md": "test_host_pages",
    "docs/adapters/slack.md": "test_host_pages",
    "docs/adapters/web3.md": "test_host_pages",
    "docs/adapters/websockets.md": "test_adapters_pages",
    "docs/codec.md": "test_adapters_pages",
    "docs/delivery.md": "test_delivery_page",
    "docs/feeds.md": "test_feeds_page",
    "docs/howto/fastapi.md": "test_app_page",
    "docs/monitor.md": "test_monitor_page",
    "docs/observability.md": "test_observability_page",
    "docs/recording.md": "test_recording_page",
    "docs/testing.md": "testing/test_docs",
}
HERE = [path for path in pages() if path not in ELSEWHERE]


def programs(named: bool) -> Iterator[tuple[str, Block]]:
    for path in HERE:
        for block in Page(path).programs:
            if (block.file is not None) == named:
                yield path, block


def titled(found: Iterator[tuple[str, Block]]) -> dict[str, tuple[str, Block]]:
    return {f"{path}:{block.line}": (path, block) for path, block in found}


FILES, PROGRAMS = titled(programs(named=True)), titled(programs(named=False))


async def prints(program: Program, block: Block) -> None:
    """Wait for the lines of the page, in their order."""
    seen = 0
    for number, expected in enumerate(block.expected):
        seen = await program.printed(expected, after=seen)
        assert seen, (number, block.output)


@pytest.mark.parametrize("where", PROGRAMS)
async def test_a_program_prints_what_the_page_says(where: str, tmp_path: Path) -> None:
    _, block = PROGRAMS[where]
    assert block.output, "what does it print?"
    async with FeedServer() as server:
        script = tmp_path / "program.py"
        script.write_text(server.local(block.text))
        environment = {"PYTHONPATH": str(ROOT), "FEED_TOKEN": "token-2"}
        async with Program(
            str(script), environment=environment, folder=tmp_path
        ) as program:
            await prints(program, block)


@pytest.mark.parametrize(
    "where", [where for where, (_, block) in FILES.items() if block.file != "server.py"]
)
async def test_a_file_prints_what_the_page_says(where: str, tmp_path: Path) -> None:
    """As its reader runs it: beside the server of the first page, with its URL."""
    _, block = FILES[where]
    assert block.output, "what does it print?"
    (server_file,) = (b for b in Page("docs/start.md").files if b.file == "server.py")
    for one in (server_file, block):
        assert one.file is not None
        (tmp_path / one.file).write_text(one.text)
    assert block.file is not None
    environment = {"PYTHONPATH": str(ROOT)}
    async with Program(str(tmp_path / "server.py"), environment=environment) as server:
        url = await server.said("ws://")
        async with Program(
            str(tmp_path / block.file), url, environment=environment, folder=tmp_path
        ) as program:
            await prints(program, block)


@pytest.mark.parametrize(
    "path", [p for p in HERE if any("test_" in str(b.file) for b in Page(p).files)]
)
def test_the_tests_of_a_page_pass(path: str, tmp_path: Path) -> None:
    files = Page(path).files
    for block in files:
        assert block.file is not None
        (tmp_path / block.file).write_text(block.text)
    done = subprocess.run(
        [
            sys.executable,
            *["-m", "pytest", "-q", "-p", "pytest_resilient_ws", "-W", "error"],
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PROGRAM_PATIENCE,
        check=False,
    )
    written = sum(block.text.count("\nasync def test_") for block in files)
    assert f"{written} passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("path", [p for p in HERE if Page(p).snippets])
def test_every_other_block_runs_as_it_stands(path: str) -> None:
    page = Page(path)
    page.run()
    # What a function does, only a call would show: those belong into a program.
    functions = [
        f"{path}:{block.line + node.lineno - 1}: {node.name}"
        for block in page.snippets
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert functions == []


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_page_that_is_tested_elsewhere_is_named_there(path: str) -> None:
    (test,) = ROOT.glob(f"tests/**/{ELSEWHERE[path].rpartition('/')[2]}.py")
    assert Path(path).name in test.read_text()
