from __future__ import annotations

import pytest

from resilient_ws.feeds.evm.log_checks import LogChecks, Plausibility, makes_bloom
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_types import logs_of
from tests.feeds.evm.fake_node import ADDRESS, TOPIC, FakeNode


WANTED = LogFilter(address=ADDRESS, topics=[TOPIC])


def test_an_empty_answer_is_suspect_only_where_the_bloom_says_so() -> None:
    node = FakeNode([0, 3])
    checks = LogChecks(WANTED, "bloom")
    assert checks.of_block(node.head(0), []) is Plausibility.SOUND
    assert checks.of_block(node.head(1), []) is Plausibility.SUSPECT
    assert checks.of_block(node.head(1), logs_of(node.logs(1))) is Plausibility.SOUND
    # A filter does not show that one of several is missing.
    assert (
        checks.of_block(node.head(1), logs_of(node.logs(1)[:1])) is Plausibility.SOUND
    )
    assert LogChecks(WANTED, "hash").of_block(node.head(1), []) is Plausibility.SOUND


def test_where_all_logs_are_wanted_one_that_is_missing_shows() -> None:
    node = FakeNode([0, 3])
    checks = LogChecks(LogFilter(), "bloom")
    assert checks.of_block(node.head(1), logs_of(node.logs(1))) is Plausibility.SOUND
    assert (
        checks.of_block(node.head(1), logs_of(node.logs(1)[:2])) is Plausibility.SUSPECT
    )
    node.bloom = False
    assert (
        checks.of_block(node.head(1), logs_of(node.logs(1)[:2])) is Plausibility.SOUND
    )


@pytest.mark.parametrize("verify", ["bloom", "receipts"])
def test_a_bloom_that_is_full_or_left_zero_is_mute(verify: str) -> None:
    node = FakeNode([0, 3])
    checks = LogChecks(WANTED, "bloom" if verify == "bloom" else "receipts")
    assert checks.is_telling(node.head(1))
    assert not checks.is_mute(node.head(1), answered=True)
    # A block without logs has a bloom of zeros, and that is no sign of anything.
    assert not checks.is_mute(node.head(0), answered=False)
    node.bloom = False
    assert checks.is_mute(node.head(1), answered=True)
    node.full = True
    assert checks.is_mute(node.head(1), answered=False)
    assert not checks.is_telling(node.head(1))
    assert not checks.suspect(node.head(1))


def test_receipts_must_be_of_the_block_and_make_its_bloom() -> None:
    node = FakeNode([0, 3])
    checks = LogChecks(WANTED, "receipts")
    receipts = [{"logs": node.logs(1)}]
    found = checks.from_receipts(node.head(1), receipts)
    assert found == logs_of(node.logs(1))
    assert makes_bloom(found, node.head(1))
    assert checks.from_receipts(node.head(1), [{"logs": node.logs(1)[:2]}]) is None
    assert checks.from_receipts(node.head(0), receipts) is None
    assert checks.from_receipts(node.head(1), [*receipts, {"logs": []}]) is None
