"""Which cookies go along, and which do not."""

from __future__ import annotations

import pytest

from resilient_ws.policy.cookies import own_cookies, with_cookies


@pytest.mark.parametrize(
    ("own", "kept", "sent"),
    [
        ([], [], None),
        ([""], [], None),
        (["a=1"], [], "a=1"),
        ([], [("a", "1"), ("b", "2")], "a=1; b=2"),
        (["a=mine"], [("a", "theirs"), ("b", "2")], "a=mine; b=2"),
        (["b=2;a = mine"], [("a", "theirs")], "b=2;a = mine"),
        (["a="], [("a", "theirs")], "a="),
        (["a"], [("a", "theirs")], "a"),
        (["a=x=y=="], [("x", "1")], "a=x=y==; x=1"),
        (["A=1"], [("a", "2")], "A=1; a=2"),
        (["a=1", "b=2"], [("b", "3")], "a=1; b=2"),
        ([], [("a", '"x y"')], 'a="x y"'),
    ],
)
def test_the_users_own_wins_name_by_name(
    own: list[str], kept: list[tuple[str, str]], sent: str | None
) -> None:
    headers = [("X-A", "1"), *(("cookie", value) for value in own), ("X-B", "2")]
    asked = with_cookies(headers, kept)
    others = [("X-A", "1"), ("X-B", "2")]
    assert asked == (others if sent is None else [*others, ("Cookie", sent)])


def test_own_cookies_by_name() -> None:
    headers = [("Cookie", "a=1; b=x=y;c"), ("X", "d=1"), ("COOKIE", "a=2")]
    assert own_cookies(headers) == {"a": "2", "b": "x=y", "c": ""}
