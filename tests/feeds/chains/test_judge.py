"""The judge sees what it is there to see."""

from __future__ import annotations

import attrs
import pytest

from tests.feeds.chains.judge import Told, compared, reorganised
from tests.servers.chains import Block


def chain_of(last: int, fork: str = "", above: int = 99) -> dict[int, Block]:
    """Blocks 0 to ``last``, with two logs each; those ``above`` are of a fork."""

    def name(number: int) -> str:
        return f"0x{number}{fork if number > above else ''}"

    return {
        n: Block(n, name(n), name(n - 1), ((0, f"a{name(n)}"), (1, f"b{name(n)}")))
        for n in range(last + 1)
    }


@pytest.fixture
def told() -> Told:
    """What was told of blocks 1 to 9."""
    found = Told(position=0)
    for number, block in chain_of(9).items():
        if number:
            found.apply(block)
    return found


def wrong(told: Told, chain: dict[int, Block] | None = None) -> list[str]:
    return compared(told, chain_of(9) if chain is None else chain, 0)


def test_what_is_right_is_right(told: Told) -> None:
    assert wrong(told) == []


def test_a_block_that_is_missing(told: Told) -> None:
    assert wrong(told, chain_of(10)) == ["block 10 is missing, with 0 gaps"]


def test_a_block_that_was_left_out(told: Told) -> None:
    told.apply(chain_of(11)[11])
    assert wrong(told, chain_of(11)) == [
        "block 11 came behind 9",
        "block 10 is missing, with 0 gaps",
    ]


def test_a_block_that_is_there_twice(told: Told) -> None:
    told.apply(chain_of(9)[9])
    assert "block 9 was applied twice" in wrong(told)


def test_a_block_of_a_fork_without_a_reorganisation(told: Told) -> None:
    told.apply(chain_of(10, "'", 8)[10])
    assert "block 10 is no child of the one before" in wrong(told)


def test_a_reorganisation_that_was_not_told(told: Told) -> None:
    assert wrong(told, chain_of(9, "'", 8)) == ["block 9 is another than the node's"]


def test_a_reorganisation_that_was_told(told: Told) -> None:
    fork = chain_of(10, "'", 7)
    logs = [("0x9", 1), ("0x9", 0), ("0x8", 1), ("0x8", 0)]
    told.undo(7, "0x7", ["0x9", "0x8"], logs)
    for number in (8, 9, 10):
        told.apply(fork[number])
    assert wrong(told, fork) == []
    assert reorganised(told, [frozenset({"0x8", "0x9"})]) == []
    assert reorganised(told, []) == ["a reorganisation was invented"]


def test_a_reorganisation_that_was_told_in_two_parts(told: Told) -> None:
    told.undo(8, "0x8", ["0x9"])
    told.undo(7, "0x7", ["0x8"])
    removed = [frozenset({"0x8", "0x9"})]
    assert reorganised(told, removed) == ["a reorganisation was told 2 times"]
    assert reorganised(told, removed, in_parts=True) == []
    told.undone.append(("0x9",))
    assert reorganised(told, removed, in_parts=True) == [
        "a reorganisation was told 3 times"
    ]


def test_logs_that_were_not_undone_in_reverse(told: Told) -> None:
    told.undo(8, "0x8", ["0x9"], [("0x9", 0), ("0x9", 1)])
    assert told.violations == [
        "the logs of a reorganisation are not those told, in reverse"
    ]


def test_what_was_undone_and_is_not_the_newest(told: Told) -> None:
    told.undo(7, "0x7", ["0x8"])
    assert told.violations[0] == "block 0x8 was undone, and is not the newest"


@pytest.mark.parametrize(
    "logs",
    [(), ((0, "a0x9"),), ((0, "a0x9"), (1, "b0x9"), (2, "c")), ((0, "a"), (1, "b"))],
)
def test_logs_that_are_not_the_nodes(logs: tuple[tuple[int, str], ...]) -> None:
    chain = chain_of(9)
    told = Told(position=8)
    told.apply(attrs.evolve(chain[9], logs=logs))
    assert compared(told, chain, 8) == [f"block 9 has {len(logs)} logs instead of 2"]


def test_a_gap_covers_what_is_missing_and_only_that(told: Told) -> None:
    chain = chain_of(13)
    told.miss(10, 12, "HistoryPruned")
    told.apply(chain[13])
    assert compared(told, chain, 0) == []
    told.miss(11, 13, "HistoryPruned")
    assert compared(told, chain, 0) == [
        "block 11 is missing, with 2 gaps",
        "block 12 is missing, with 2 gaps",
    ]


def test_final_blocks_without_logs_need_not_be_told() -> None:
    chain = chain_of(9)
    quiet = {n: attrs.evolve(b, logs=()) for n, b in chain.items() if n not in {3, 6}}
    told = Told(position=0)
    for number in (3, 6):
        told.apply(attrs.evolve(chain[number], parent=""))
    told.reach(9)
    assert compared(told, chain | quiet, 0) == []
    assert compared(told, chain | quiet | {7: chain[7]}, 0) == [
        "block 7 has 2 logs that were not told"
    ]
