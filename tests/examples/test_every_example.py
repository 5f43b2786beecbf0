"""What all examples have in common: help, a heading, and a place in the README."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.examples.program import Program
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
each = pytest.mark.parametrize("example", EXAMPLES, ids=[p.stem for p in EXAMPLES])


@pytest.mark.wire
@each
async def test_it_has_help(example: Path) -> None:
    async with Program(example.name, "--help") as program:
        assert await program.ended(within=30) == 0
    assert program.lines[0].startswith(f"usage: {example.name}")


@each
def test_its_heading_shows_how_it_is_called(example: Path) -> None:
    heading = ast.get_docstring(ast.parse(example.read_text())) or ""
    assert f"python examples/{example.name}" in heading


@each
def test_it_can_be_read_on_one_page(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 80


@each
def test_the_readme_leads_to_it_and_a_test_runs_it(example: Path) -> None:
    assert f"(examples/{example.name})" in (ROOT / "README.md").read_text()
    test = (ROOT / "tests" / "examples" / f"test_{example.name}").read_text()
    assert re.search(rf'Program\(\s*"{example.name}"', test)
