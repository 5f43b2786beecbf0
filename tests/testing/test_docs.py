"""docs/testing.md says what the kit does: its examples run, its tables are complete."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from resilient_ws import testing
from resilient_ws.testing import scripts
from resilient_ws.testing.pipe import MAX_HELD
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TESTS = [name for name, _ in BLOCKS if name.startswith("test_")]


def test_every_example_passes_as_it_stands(tmp_path: Path) -> None:
    for name, code in BLOCKS:
        (tmp_path / name).write_text(code)
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
    assert f"{len(TESTS)} passed" in done.stdout, done.stdout + done.stderr
    assert len(TESTS) >= 5


def test_every_block_of_python_is_among_them() -> None:
    assert PAGE.count("```python\n") == sum(name.endswith(".py") for name, _ in BLOCKS)


def test_the_table_of_faults_is_complete() -> None:
    shown = re.findall(r"^\| `([A-Z]\w+)\((.*?)\)` \|", PAGE, re.MULTILINE)
    faults = {
        name: kind
        for name, kind in vars(testing).items()
        if inspect.isclass(kind) and issubclass(kind, testing.Fault)
    }
    del faults["Fault"]
    assert {name for name, _ in shown} == set(faults)
    for name, arguments in shown:
        parameters = inspect.signature(faults[name]).parameters
        named = re.findall(r"[a-z_]+", arguments)
        # A number stands for the first of them.
        expected = list(parameters)[len(parameters) - len(named) :]
        assert named == expected, name


@pytest.mark.parametrize("name", [n for n in testing.__all__ if n != "Direction"])
def test_every_public_name_is_told_or_follows_from_what_is(name: str) -> None:
    assert name in PAGE or name in {"Fault", "Misconduct", "ProxiedConnection"}
    assert getattr(testing, name).__module__ == "resilient_ws.testing"


def test_the_table_of_a_peer_is_complete() -> None:
    shown = set(re.findall(r"`(?:await )?(\w+)\(", PAGE))
    verbs = {
        name
        for name, member in vars(testing.Peer).items()
        if inspect.isfunction(member)
        and not name.startswith("_")
        and not hasattr(asyncio.Protocol, name)
    }
    assert {"goodbye", "ended", "until"} <= verbs
    assert verbs <= shown


def test_the_scripts_are_told() -> None:
    made = {
        name
        for name, member in vars(scripts).items()
        if inspect.isfunction(member) and member.__module__ == scripts.__name__
    }
    assert made - set(re.findall(r"\w+", PAGE)) == set()


def test_the_bound_is_the_one_that_is_told() -> None:
    assert f"at most {MAX_HELD // 1024} KiB" in PAGE


def test_the_readme_leads_to_it() -> None:
    assert "(docs/testing.md)" in (ROOT / "README.md").read_text()
