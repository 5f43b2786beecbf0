from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import (
    Continuity,
    Source,
    consecutive,
    in_epochs,
    linked,
    ranges,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _number(item: dict[str, Any]) -> Any:
    return item["n"]


def _first(item: tuple[Any, Any]) -> Any:
    return item[0]


def _second(item: tuple[Any, Any]) -> Any:
    return item[1]


NEXT, REPEAT, JUMP = Continuity.NEXT, Continuity.REPEAT, Continuity.JUMP


@pytest.mark.parametrize(
    ("last", "item", "how"),
    [(None, 7, NEXT), (6, 7, NEXT), (7, 7, REPEAT), (9, 7, REPEAT), (5, 7, JUMP)],
)
def test_consecutive(last: int | None, item: int, how: Continuity) -> None:
    follows = consecutive(_number)
    assert follows(last, {"n": item}) is how


@pytest.mark.parametrize(
    ("last", "item", "how"),
    [
        (None, ("a", "b"), NEXT),
        ("a", ("a", "b"), NEXT),
        ("b", ("a", "b"), REPEAT),
        ("c", ("a", "b"), JUMP),
    ],
)
def test_linked(last: str | None, item: tuple[str, str], how: Continuity) -> None:
    follows = linked(_first, _second)
    assert follows(last, item) is how


@pytest.mark.parametrize(
    ("last", "item", "how"),
    [
        (None, (5, 7), NEXT),
        (4, (5, 7), NEXT),
        (6, (5, 7), NEXT),  # it overlaps what is known, and goes on
        (7, (5, 7), REPEAT),
        (9, (5, 7), REPEAT),
        (3, (5, 7), JUMP),
    ],
)
def test_ranges(last: int | None, item: tuple[int, int], how: Continuity) -> None:
    follows = ranges(_first, _second)
    assert follows(last, item) is how


@pytest.mark.parametrize("number", ["7", 7.0, None, True, [7]])
def test_what_is_not_a_number_never_becomes_a_cursor(number: Any) -> None:
    """It would make every later item unreadable."""
    with pytest.raises(TypeError, match="whole number"):
        consecutive(lambda _: number)(None, number)
    with pytest.raises(TypeError, match="whole number"):
        ranges(lambda _: 1, lambda _: number)(None, number)


async def _backfill(after: int, until: int | None) -> AsyncIterator[int]:
    yield after


async def _subscribe(requests: object) -> str:
    return "key"


def test_a_history_needs_positions() -> None:
    with pytest.raises(ValueError, match="cursor_of"):
        Source(subscribe=_subscribe, backfill=_backfill, identity=int)


def test_a_history_needs_a_way_to_tell_repeats() -> None:
    with pytest.raises(ValueError, match="follows= or identity="):
        Source(subscribe=_subscribe, backfill=_backfill, cursor_of=int)


@pytest.mark.parametrize(
    ("last", "item", "how"),
    [
        (None, ("a", 5), NEXT),
        (("a", 5), None, NEXT),
        (("a", 5), ("a", 6), NEXT),
        (("a", 5), ("a", 5), REPEAT),
        (("a", 5), ("a", 4), REPEAT),
        (("a", 5), ("a", 7), JUMP),
        (("a", 5), ("b", 6), Continuity.RESET),
    ],
)
def test_a_count_of_another_name_is_a_reset(
    last: Any, item: Any, how: Continuity
) -> None:
    follows = in_epochs(lambda position: position)
    assert follows(last, item) is how


def test_a_place_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="whole number"):
        in_epochs(lambda item: item)(("a", 1), ("a", "2"))
