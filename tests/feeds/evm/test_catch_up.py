"""A small run of the campaign: a restart through limits, in a process of its own."""

from __future__ import annotations

import pytest

from tests.feeds.evm.catch_up import PROVIDERS, page, run


pytestmark = pytest.mark.wire


async def test_a_restart_from_an_old_cursor_is_told_what_the_node_has(
    anvil: object,
) -> None:
    providers = [each for each in PROVIDERS if each.blocks == 5 or each.results == 500]
    rows = await run(300, providers)
    assert [row.provider for row in rows] == providers
    for row in rows:
        assert row.equal, row
        assert row.told["gaps"] == 0
        assert row.told["logs"] > 1_000
        assert row.refused <= 3
    calls = [row.calls["eth_getLogs"] for row in rows]
    assert calls[0] < 80
    assert calls[1] < 20
    assert "| 5 blocks | bloom | equal | 0 |" in page(rows, 300, 1.0)
