"""Type checkers take what is right and refuse what is wrong, line by line.

The snippets are no module: checking all of the project must not stumble over them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.record import PROGRAM_PATIENCE
from tests.servers.process import daemon, node_module


HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
#: What is checked: each file of this folder.
SNIPPETS: Final = sorted(path.name for path in HERE.glob("*.txt"))
#: How strict pyright is: other libraries leave much of their own types open.
MODES: Final = {"hosts.txt": "standard"}


def expected(name: str) -> set[int]:
    lines = (HERE / name).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


@pytest.fixture(params=SNIPPETS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def snippets(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "snippets.py"
    path.write_text((HERE / name).read_text())
    return path


def run(*command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PROGRAM_PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def test_mypy_agrees(snippets: Path, name: str) -> None:
    said = run(
        sys.executable, "-m", "mypy", "--cache-dir", snippets.parent / "cache", snippets
    )
    found = {int(line) for line in re.findall(r"snippets\.py:(\d+): error", said)}
    assert found == expected(name), said


def test_pyright_agrees(snippets: Path, name: str) -> None:
    settings = {
        "include": [snippets.name],
        "extraPaths": [str(ROOT)],
        "pythonVersion": "3.11",
        "typeCheckingMode": MODES.get(name, "strict"),
        "reportUnusedFunction": False,
    }
    project = snippets.parent / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    said = run(
        daemon("node", "nodejs"),
        node_module("pyright/index.js"),
        "--pythonpath",
        sys.executable,
        "--project",
        project,
        "--outputjson",
    )
    found = {
        one["range"]["start"]["line"] + 1
        for one in json.loads(said)["generalDiagnostics"]
        if one["severity"] == "error"
    }
    assert found == expected(name), said
