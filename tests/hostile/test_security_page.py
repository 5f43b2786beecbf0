"""SECURITY.md names tests that exist, in every line; its figures come from a run."""

from __future__ import annotations

import ast
import re

import pytest

from tests.servers.process import ROOT


PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not re.match(r"\| (---|\w+ (can|may hold) \|)", line)
]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_line_of_the_threat_model_names_its_test(row: str) -> None:
    can, cannot, shown = (cell.strip() for cell in row.strip("| ").split(" | "))
    assert can
    assert cannot
    assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", shown)


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_is_there(name: str) -> None:
    file, test = name.split("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    there = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    assert test in there


def test_everybody_who_is_not_trusted_has_lines() -> None:
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    tables = [part.splitlines()[0] for part in parts if "| --- |" in part]
    assert tables == [
        "A hostile server",
        "An attacker on the network",
        "A proxy",
        "A name server",
        "A server that feeds speak to",
        "A node of a chain",
        "A receiver of webhooks and mails",
        "A library on an adapter",
        "Another user of the machine",
        "A stored file",
        "Logs, errors and error trackers",
    ]
    assert len(ROWS) >= 55
    assert (ROOT / "docs/security.md").exists()
