"""The run with sanitizers passes for the source as it is, and finds what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import unmeasured
from tests.record import PROGRAM_PATIENCE
from tests.release.compiler import needs_a_compiler
from tests.twins.run import ROOT, SOURCE


if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_a_compiler


def run(source: Path, buffers: int) -> subprocess.CompletedProcess[str]:
    words = ["--source", source, "--buffers", buffers]
    return subprocess.run(
        [sys.executable, "-m", "tests.twins.run", *map(str, words)],
        cwd=ROOT,
        env=unmeasured.environment(),
        capture_output=True,
        text=True,
        timeout=PROGRAM_PATIENCE,
        check=False,
    )


def test_the_twins_agree_under_the_sanitizers() -> None:
    done = run(SOURCE, 1000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("1,000 chunks"), done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        (" || length > end - start)", ")", "AssertionError"),
        ("payload->size - i >= 8", "payload->size - i >= 1", "heap-buffer-overflow"),
        ("length > limit || ", "", "AssertionError"),
        (
            "<= MAX_SHORT)\n            return 0",
            "< 0)\n            return 0",
            "Assertion",
        ),
        ("Py_XDECREF(nothing);\n    Py_DECREF(message);", "", "references"),
        ("Py_NewRef(message)", "message", "heap-use-after-free"),
    ],
)
def test_a_fault_is_found(right: str, wrong: str, says: str, tmp_path: Path) -> None:
    code = SOURCE.read_text()
    assert right in code
    source = tmp_path / "compiled.c"
    source.write_text(code.replace(right, wrong, 1))
    done = run(source, 8000)
    assert done.returncode != 0
    assert says in done.stderr
