from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.refusals import Refusal, Understood, understood
from resilient_ws.feeds.evm.stride import FIRST, Stride
from tests.feeds.evm.providers import ANSWERS, Answer


class Node:
    """Refuses what is too wide for it, or has too many logs in it."""

    def __init__(
        self,
        *,
        blocks: int = 10**9,
        results: int = 10**9,
        density: float = 0,
        says: int | None = None,
    ) -> None:
        self._blocks, self._results = blocks, results
        self.density, self._says = density, says
        self.calls = self.refusals = 0

    def catch_up(self, stride: Stride, blocks: int) -> list[int]:
        """Ask for a number of blocks; return how many each answer had."""
        given_: list[int] = []
        while blocks:
            asked = min(stride.blocks, blocks)
            self.calls += 1
            logs = int(asked * self.density)
            if asked > self._blocks:
                stride.refused(asked, Understood(Refusal.TOO_WIDE, self._says))
            elif logs > self._results:
                stride.refused(asked, Understood(Refusal.TOO_MUCH, self._says))
            else:
                stride.given(asked, logs)
                given_.append(asked)
                blocks -= asked
                continue
            self.refusals += 1
        return given_


def test_it_begins_small_and_doubles_to_the_most() -> None:
    node, stride = Node(), Stride(Limits())
    assert node.catch_up(stride, 10_000)[:7] == [FIRST * 2**n for n in range(6)] + [
        2_000
    ]
    assert node.refusals == 0


@pytest.mark.parametrize("limit", [1, 2, 5, 100, 1_999])
def test_a_limit_that_the_node_states_costs_one_refusal(limit: int) -> None:
    node, stride = Node(blocks=limit, says=limit), Stride(Limits())
    assert max(node.catch_up(stride, 10_000)) == limit
    assert node.refusals == 1


@pytest.mark.parametrize("limit", [1, 5, 33, 100, 777, 1_999])
def test_a_limit_that_is_not_stated_is_found(limit: int) -> None:
    node, stride = Node(blocks=limit), Stride(Limits())
    answers = node.catch_up(stride, 100_000)
    # It comes within a seventh, and few calls are refused on the way.
    assert max(answers) <= limit <= max(answers) * 1.15 + 1
    assert node.refusals <= 12 + node.calls // 50


def test_a_limit_of_results_is_kept_away_from() -> None:
    node, stride = Node(results=10_000, density=30), Stride(Limits())
    answers = node.catch_up(stride, 10_000)
    assert node.refusals == 0
    assert max(answers) * 30 <= 2_000


def test_where_the_logs_get_denser_it_is_narrowed_and_widens_after() -> None:
    node, stride = Node(results=1_000, density=0.1), Stride(Limits())
    node.catch_up(stride, 20_000)
    assert stride.blocks == 2_000
    node.density = 100
    node.catch_up(stride, 1_000)
    assert stride.blocks <= 10
    node.density = 0.1
    node.catch_up(stride, 200_000)
    assert stride.blocks > 1_000


def test_one_block_is_the_least_and_several_refusals_count_once() -> None:
    stride = Stride(Limits())
    for _ in range(16):
        stride.refused(FIRST, Understood(Refusal.TOO_MUCH))
    assert stride.blocks == FIRST // 2
    for _ in range(100):
        stride.refused(stride.blocks, Understood(Refusal.TOO_MUCH))
    assert stride.blocks == 1


@pytest.mark.parametrize(
    "answer",
    [each for each in ANSWERS if each.means in (Refusal.TOO_WIDE, Refusal.TOO_MUCH)],
    ids=lambda each: each.who,
)
def test_each_refusal_of_a_provider_leads_to_a_narrower_range(answer: Answer) -> None:
    stride = Stride(Limits())
    stride.refused(FIRST, understood(answer.error))
    assert 1 <= stride.blocks < FIRST


@given(
    st.integers(1, 5_000),
    st.integers(1, 500),
    st.floats(0, 50),
    st.none() | st.integers(1, 10**9),
)
def test_every_block_is_reached_whatever_the_node_says(
    limit: int, results: int, density: float, says: int | None
) -> None:
    node = Node(blocks=limit, results=max(results, 50), density=density, says=says)
    assert sum(node.catch_up(Stride(Limits()), 3_000)) == 3_000
