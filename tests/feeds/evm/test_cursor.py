from __future__ import annotations

import pickle

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds.evm import Cursor


def name(number: int) -> str:
    return f"0x{number:064x}"


def grown(height: int, start: int = 0) -> Cursor:
    cursor = Cursor(chain_id=1, number=start, dense=(name(start),))
    for number in range(start + 1, height + 1):
        cursor = cursor.then(number, name(number))
    return cursor


@given(height=st.integers(0, 3000), start=st.integers(0, 200))
def test_text_is_read_as_it_was_written(height: int, start: int) -> None:
    cursor = grown(max(height, start), start)
    again = Cursor.parse(str(cursor))
    assert again == cursor
    assert str(again) == str(cursor)
    assert pickle.loads(pickle.dumps(cursor)) == cursor


def test_the_last_64_hashes_are_there_and_older_ones_further_apart() -> None:
    cursor = grown(10_000)
    assert cursor.dense == tuple(name(n) for n in range(9937, 10_001))
    known = [number for number, _ in cursor.sparse]
    assert known == sorted(known)
    assert all(one == name(number) for number, one in cursor.sparse)
    distance = 64
    while distance <= 5000:
        near = [n for n in known if distance <= 10_000 - n <= 2 * distance]
        assert near, f"none between {distance} and twice that, of {known}"
        distance *= 2
    assert len(known) <= 32
    assert len(str(cursor)) < 7000


def test_its_size_does_not_grow_with_the_chain() -> None:
    cursor = Cursor(chain_id=1, number=10**9, dense=(name(10**9),))
    for number in range(10**9 + 1, 10**9 + 20_000):
        cursor = cursor.then(number, name(number))
    assert len(cursor.sparse) <= 32


def test_behind_a_gap_it_still_knows_what_was_before() -> None:
    cursor = grown(100).then(150, name(150))
    assert cursor.dense == (name(150),)
    assert cursor.sparse[-1] == (100, name(100))
    assert Cursor.parse(str(cursor)) == cursor


def test_going_back_forgets_what_is_above() -> None:
    cursor = grown(100)
    assert cursor.back_to(90).hash == name(90)
    back = cursor.then(20, name(20))
    assert back.number == 20
    assert all(number < 20 for number, _ in back.sparse)
    assert Cursor.parse(str(back)) == back


def test_it_is_shown_short() -> None:
    assert repr(grown(3)) == f"<Cursor chain 1, block 3 {name(3)}>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evm1",
        "evm2.1.0." + "0" * 64 + ".",
        "evm1.1.0." + "0" * 64,
        "evm1.1.0..",
        "evm1.-1.0." + "0" * 64 + ".",
        "evm1.01.0." + "0" * 64 + ".",
        "evm1.1.00." + "0" * 64 + ".",
        "evm1.1.0." + "0" * 63 + ".",
        "evm1.1.0." + "0" * 65 + ".",
        "evm1.1.0." + "A" * 64 + ".",
        "evm1.1.0." + "0" * 64 + ".\n",
        " evm1.1.0." + "0" * 64 + ".",
        "evm1.1.0." + "0" * 64 + "," + "1" * 64 + ".",  # below zero
        "evm1.1.9." + "0" * 64 + ".9-" + "0" * 64,  # not older
        "evm1.1.9." + "0" * 64 + ".5-" + "0" * 64 + ",4-" + "0" * 64,
        "evm1.1.9." + "0" * 64 + ".5-" + "0" * 64 + ",",
        "evm1.1.9." + "0" * 64 + ".5",
        "evm1.1.99." + ",".join(["0" * 64] * 65) + ".",
        "evm1.1.1." + "0" * 63 + "\u0660" + ".",
        "evm1.\u0661.0." + "0" * 64 + ".",
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the text of a cursor"):
        Cursor.parse(text)


@given(text=st.text(), cut=st.integers(0, 5000), with_=st.characters())
def test_a_damaged_text_is_refused_or_reads_as_it_stands(
    text: str, cut: int, with_: str
) -> None:
    whole = str(grown(200))
    cut %= len(whole)
    for damaged in (text, whole[:cut], whole[:cut] + with_ + whole[cut + 1 :]):
        try:
            found = Cursor.parse(damaged)
        except ValueError:
            continue
        assert str(found) == damaged
