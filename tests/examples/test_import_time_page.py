"""benchmarks/import_time.py measures everything that it names, and writes a page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks import twins
from benchmarks.import_time import COMMANDS, IMPORTS, page, run
from benchmarks.wheels import Weights, lines_of_c, newest, weighed
from tests.servers.process import ROOT, missing


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.endurance
def test_a_short_run_has_a_row_for_everything() -> None:
    if not twins.built():
        missing("the compiled part", "pip install --editable .")
    written = page(run(1), Weights(compiled=2048, pure=1024))
    rows = [line for line in written.splitlines() if line.startswith("| `")]
    # One more, of the twins.
    assert len(rows) == len(IMPORTS) + len(COMMANDS) + 1
    assert "| wheel, KiB | 2 | 1 |" in written
    committed = (ROOT / "docs/import-time.md").read_text()
    for row in rows:
        assert f"\n{row.split(' | ')[0]} | " in committed


def test_the_newest_wheels_are_weighed(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    compiled = tmp_path / "resilient_ws-1.0-cp311-abi3-linux_x86_64.whl"
    pure, older = (
        tmp_path / f"resilient_ws-{version}-py3-none-any.whl"
        for version in ("1.0", "0.9")
    )
    compiled.write_bytes(bytes(300))
    assert newest(tmp_path) is None
    for size, wheel in enumerate((older, pure), 100):
        wheel.write_bytes(bytes(size))
        os.utime(wheel, (size, size))
    assert (
        newest(tmp_path) == weighed(compiled, pure) == Weights(compiled=300, pure=101)
    )


def test_the_lines_of_c_are_counted_with_and_without_comments(tmp_path: Path) -> None:
    source = tmp_path / "one.c"
    source.write_text(
        "/* What\n   it is. */\n\nint one(void) { // how\n  return 1;\n}\n"
    )
    assert lines_of_c(source) == (6, 3)
