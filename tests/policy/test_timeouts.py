"""Durations: what is taken, what is refused, and what the message says."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from resilient_ws.policy.timeouts import Timeouts


def test_the_defaults_are_those_of_the_design() -> None:
    assert attrs.astuple(Timeouts()) == (10.0, 30.0, 5.0)


def test_an_int_becomes_a_float() -> None:
    assert type(Timeouts(open=3).open) is float


def test_timeouts_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Timeouts().open = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("field", ["open", "restore", "close"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (-1, ValueError, "must be a positive number of seconds, not -1."),
        (0, ValueError, "must be a positive number of seconds, not 0."),
        (float("nan"), ValueError, "not nan: it has to be finite"),
        (float("inf"), ValueError, "not inf: it has to be finite"),
        (10**400, ValueError, "it has to be finite"),
        (True, TypeError, "must be a positive number of seconds, not a value of type"),
        ("5", TypeError, "not a value of type str."),
        (None, TypeError, "not None."),
    ],
)
def test_what_is_no_duration_is_refused_by_name(
    field: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        Timeouts(**{field: value})
    assert str(caught.value).startswith(f"Timeouts.{field} must be")
    assert words in str(caught.value)
