"""Every Autobahn case that this client can be held to."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import pytest

from tests.conformance.fuzzing import (
    FEW_COMPRESSED,
    FEW_FRESH,
    PLAIN,
    offers_compression,
    verdicts,
)
from tests.leaks import assert_no_leaks


if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.wire

#: How many cases there are, so that one that was left out is noticed.
COUNTS = {
    "1": 16,
    "2": 11,
    "3": 7,
    "4": 10,
    "5": 20,
    "6": 145,
    "7": 37,
    "9": 54,
    "10": 1,
}


async def test_every_case_of_rfc_6455_is_ok(tmp_path: Path) -> None:
    async with assert_no_leaks():
        found = await verdicts("resilient_ws", PLAIN, tmp_path)
    chapters = collections.Counter(verdict.case.split(".")[0] for verdict in found)
    assert chapters == COUNTS
    assert [verdict for verdict in found if not verdict.passed] == []


async def test_a_case_of_each_kind_of_compression_is_ok(
    tmp_path: Path,
) -> None:
    assert await offers_compression()
    found = await verdicts("resilient_ws", FEW_COMPRESSED, tmp_path / "kept")
    found += await verdicts("resilient_ws", FEW_FRESH, tmp_path / "fresh", fresh=True)
    assert len(found) == len(FEW_COMPRESSED) + len(FEW_FRESH)
    assert [verdict for verdict in found if not verdict.passed] == []
