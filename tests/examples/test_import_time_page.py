"""benchmarks/import_time.py measures everything that it names, and writes a page."""

from __future__ import annotations

import pytest

from benchmarks.import_time import COMMANDS, IMPORTS, page, run
from tests.servers.process import ROOT


@pytest.mark.endurance
def test_a_short_run_has_a_row_for_everything() -> None:
    written = page(run(1))
    rows = [line for line in written.splitlines() if line.startswith("| `")]
    assert len(rows) == len(IMPORTS) + len(COMMANDS)
    committed = (ROOT / "docs/import-time.md").read_text()
    for row in rows:
        assert f"\n{row.split(' | ')[0]} | " in committed
