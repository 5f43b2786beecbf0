"""Killed and cut at random, the sender loses nothing in silence: ``make crash``, short."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.campaign import Campaign
from tests.crash.setting import SETTINGS
from tests.crash.verdict import judge


if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.wire

ROUNDS = 6


@pytest.mark.parametrize("name", SETTINGS)
async def test_what_is_promised_is_kept(name: str, tmp_path: Path) -> None:
    setting = SETTINGS[name]
    evidence = await Campaign(setting, tmp_path, random.Random(name)).run(ROUNDS)
    verdict = judge(setting, evidence)
    assert verdict.violations == []
    assert verdict.figures["kills"] == ROUNDS
    assert verdict.figures["arrived"] > 0
