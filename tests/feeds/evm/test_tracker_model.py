"""The tracker over a model chain: what is told is the chain, or the gap says so."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from resilient_ws.feeds import Gap, ReorgTooDeep
from resilient_ws.feeds.evm import Cursor
from tests.feeds.evm.model import FINAL, Faults, World
from tests.record import ENDURANCE


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.tracker import Confirmations


EXAMPLES = 10_000 if ENDURANCE else 300
#: Of the others, each of which has one thing more.
FEWER = 3_000 if ENDURANCE else 100

often = st.sampled_from([0, 0, 5, 20, 40])
faults = st.builds(
    Faults,
    lag=often,
    null=often,
    error=often,
    drop=st.sampled_from([0, 0, 2, 5]),
    lost=often,
    change=st.sampled_from([1, 5, 10]),
)
model = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(world: World, confirmations: int = 0) -> None:
    """What was told is what the node has, but for what the gaps say."""
    told, true = world.told, world.chain.blocks
    newest = len(true) - 1
    if not told.blocks:
        # All that was told is gone, or it was to begin with a block that is to come.
        first = world.tracker.chain.next
        assert told.items or (first is not None and first > newest - confirmations)
        assert told.next is None or told.next > newest - confirmations
        return
    for number, block in told.blocks.items():
        assert true[number].hash == block, f"{number} is wrong"
    missing = set(range(min(told.blocks), told.tip)) - set(told.blocks)
    for gap in told.gaps:
        if not isinstance(gap.because, ReorgTooDeep) and gap.first_missing is not None:
            missing -= set(range(gap.first_missing, gap.until + 1))
    assert not missing, f"{missing} are missing in silence"
    assert newest - confirmations <= told.tip <= newest


@settings(model, max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 2**32),
    faults=faults,
    after=st.sampled_from([None, 0, 5]),
    chunk=st.sampled_from([1, 4]),
    height=st.sampled_from([6, 40]),
)
def test_what_is_told_is_the_chain(
    seed: int, faults: Faults, after: int | None, chunk: int, height: int
) -> None:
    world = World(
        random.Random(seed), faults, after=after, chunk=chunk, height=height, depth=5
    )
    world.run(30, 500)
    world.settle()
    check(world)


@settings(model, max_examples=FEWER)
@given(seed=st.integers(0, 2**32), faults=faults, max_reorg=st.sampled_from([1, 3, 8]))
def test_a_fork_beyond_memory_is_a_gap(
    seed: int, faults: Faults, max_reorg: int
) -> None:
    world = World(random.Random(seed), faults, height=30, max_reorg=max_reorg, depth=15)
    world.run(30, 500)
    world.settle()
    check(world)


@settings(model, max_examples=FEWER)
@given(
    seed=st.integers(0, 2**32),
    faults=faults,
    confirmations=st.sampled_from([1, 3, 8, "finalized"]),
)
def test_blocks_are_held_back_until_they_are_confirmed(
    seed: int, faults: Faults, confirmations: Confirmations
) -> None:
    world = World(random.Random(seed), faults, height=40, confirmations=confirmations)
    world.run(30, 500)
    world.settle()
    check(world, FINAL if isinstance(confirmations, str) else confirmations)


@settings(model, max_examples=FEWER)
@given(seed=st.integers(0, 2**32), faults=faults, away=st.integers(0, 100))
def test_a_restart_from_a_cursor_tells_what_was_reorganised_meanwhile(
    seed: int, faults: Faults, away: int
) -> None:
    world = World(random.Random(seed), faults, height=150, after=10, depth=5)
    world.run(5, 500)
    world.settle()
    check(world)
    last = world.told.items[-1]
    assume(not isinstance(last, Gap))
    cursor = Cursor.parse(str(last.cursor))
    assert cursor.number == world.told.tip
    world.chain.cut(away)
    world.chain.mine(world.rng.randrange(40))
    again = World(
        world.rng, faults, after=cursor, chain=world.chain, told=world.told, depth=5
    )
    again.run(5, 500)
    again.settle()
    check(again)


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_node_gets_no_new_connection_and_no_gap(seed: int) -> None:
    world = World(random.Random(seed), Faults(change=5), after=0)
    world.run(60)
    world.settle()
    check(world)
    assert world.told.gaps == []


def test_a_block_that_was_told_and_is_not_remembered_is_linked_to() -> None:
    """What follows the ancestor of a removal must be its child, though it left memory."""
    faults = Faults(lag=20, null=5, error=40, drop=0, lost=5, change=10)
    world = World(random.Random(54), faults, height=30, max_reorg=1, depth=15)
    world.run(30, 500)
    world.settle()
    check(world)
