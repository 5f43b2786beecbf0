from __future__ import annotations

from typing import Any

import pytest

from resilient_ws.feeds.evm.limits import Limits


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("max_range", 0, ValueError),
        ("max_range", 2.5, TypeError),
        ("max_results", -1, ValueError),
        ("window", True, TypeError),
        ("rate", 0, ValueError),
        ("rate", "fast", TypeError),
        ("first_backoff", -1, ValueError),
        ("max_backoff", float("inf"), ValueError),
        ("attempts", 0, ValueError),
    ],
)
def test_a_wrong_limit_is_named(
    argument: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"Limits\.{argument} must be"):
        Limits(**{argument: value})


def test_a_wait_doubles_up_to_the_longest_and_what_the_node_asks_for_is_obeyed() -> (
    None
):
    limits = Limits(first_backoff=1, max_backoff=60)
    waits = [limits.backoff(n) for n in (1, 2, 3, 6, 7, 10_000)]
    assert waits == [1, 2, 4, 32, 60, 60]
    assert limits.backoff(3, asked=0.5) == 0.5
    assert limits.backoff(1, asked=86_400) == 60
