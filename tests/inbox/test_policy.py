"""How much may wait to be read: the defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_ws import Inbox


def test_the_defaults() -> None:
    inbox = Inbox()
    assert (inbox.max_messages, inbox.max_bytes) == (1024, 16 * 1024 * 1024)
    assert inbox.overflow == "pause"


@pytest.mark.parametrize("name", ["max_messages", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "9", None])
def test_a_limit_is_a_positive_whole_number(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        Inbox(**{name: value})


@pytest.mark.parametrize("value", ["drop", "", None, ["pause"]])
def test_overflow_is_one_of_four_words(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="overflow"):
        Inbox(overflow=value)
