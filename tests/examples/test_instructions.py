"""benchmarks/speed/instructions.py: what a message costs does not grow unseen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.speed.instructions import BUDGETS, VERSION
from tests import unmeasured
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    VERSION not in json.loads(BUDGETS.read_text()),
    reason=f"no budget for Python {VERSION}: make instructions ARGS=--write",
)


def run(root: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Count in a process that nobody else traces."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.instructions", *names],
        cwd=root,
        env=unmeasured.environment()
        | {"PYTHONPATH": str(root), "RESILIENT_WS_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=PROGRAM_PATIENCE,
        check=False,
    )


def test_a_message_takes_no_more_bytecodes_than_its_budget() -> None:
    done = run(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok\n") == 3, done.stdout


def test_a_line_more_for_each_message_is_found(tmp_path: Path) -> None:
    for folder in ("resilient_ws", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    module = tmp_path / "resilient_ws" / "protocol" / "pure.py"
    lines = module.read_text()
    step = "            pos = stop\n            count += 1\n"
    assert lines.count(step) == 1
    module.write_text(lines.replace(step, f"{step}            size += 0\n"))

    done = run(tmp_path, "received")
    assert done.returncode == 1, done.stdout
    assert "TOO MANY" in done.stdout
    assert "make instructions ARGS=--write" in done.stderr
