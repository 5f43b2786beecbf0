"""This library in the situations that docs/reliability.md shows it in beside others.

The rows of one test are played together, each in namespaces of its own: nearly all of
their time is waiting.
"""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.reliability.rows import (
    SITUATIONS,
    alive,
    dead,
    dialling,
    redirects,
    refusals,
)
from benchmarks.reliability.situation import US, Outcome, perform


pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("namespaces")]


async def _broken(*plays: object) -> dict[str, Outcome]:
    """Play each row once; what came of those that were not kept."""
    rows = [row for row in SITUATIONS if row.play in plays]
    assert len(rows) == len(plays)
    starting = asyncio.Semaphore(2)
    async with asyncio.TaskGroup() as group:
        played = {
            row.name: group.create_task(perform(row, US, starting)) for row in rows
        }
    outcomes = {name: task.result() for name, task in played.items()}
    return {
        name: outcome
        for name, outcome in outcomes.items()
        if not outcome.kept or outcome.false_alarms
    }


async def test_a_dead_link_is_noticed_and_replaced() -> None:
    assert not await _broken(
        dead.black_hole_inbound,
        dead.black_hole_outbound,
        dead.black_hole_both,
        dead.server_frozen,
        dead.nat_entry_expired,
        dead.socket_destroyed,
        dead.link_down_long,
    )


async def test_a_healthy_link_is_never_given_up() -> None:
    assert not await _broken(
        alive.link_down_short,
        alive.slow_uplink,
        alive.loop_blocked,
        alive.client_frozen,
    )


async def test_a_consumer_that_sleeps_costs_neither_link_nor_message() -> None:
    assert not await _broken(alive.flood, alive.pings_answered)


async def test_a_dial_ends_in_time_and_finds_the_server() -> None:
    assert not await _broken(
        dialling.syn_dropped,
        dialling.never_answered,
        dialling.dns_gone,
        dialling.dns_changed,
        dialling.ipv6_broken,
        dialling.accepts_and_closes,
        dialling.retry_after,
    )


async def test_who_is_not_let_in_gives_up_in_time_and_gives_nothing_away() -> None:
    assert not await _broken(
        refusals.token_revoked,
        redirects.redirect_elsewhere,
        redirects.redirect_downgrade,
    )
