"""The checks that the policies share."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest

from resilient_ws.policy._validate import (
    check_duration,
    check_positive,
    is_coroutine_callable,
    one_of,
    positive_int,
)


@attrs.frozen(kw_only=True)
class Box:
    size: Any = attrs.field(default=1, validator=positive_int)
    rule: Any = attrs.field(default="a", validator=one_of("a", "b", "c"))


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("size", 0, ValueError, "Box.size must be a positive whole number, not 0."),
        (
            "size",
            True,
            TypeError,
            "Box.size must be a positive whole number, not a value of type bool.",
        ),
        (
            "size",
            2.0,
            TypeError,
            "Box.size must be a positive whole number, not a value of type float.",
        ),
        ("rule", "d", ValueError, "Box.rule must be one of 'a', 'b', 'c', not 'd'."),
        (
            "rule",
            1,
            TypeError,
            "Box.rule must be one of 'a', 'b', 'c', not a value of type int.",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_right(
    field: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Box(**{field: value})
    assert str(caught.value) == message


def test_right_values_pass() -> None:
    assert Box(size=7, rule="c") == Box(size=7, rule="c")


def test_the_argument_of_a_method_is_checked_by_its_name() -> None:
    check_duration("ttl", 0)
    with pytest.raises(
        ValueError, match=r"^ttl must be a number of seconds, 0 or more"
    ):
        check_duration("ttl", -1)
    with pytest.raises(TypeError, match=r"^ttl must be a number of seconds"):
        check_duration("ttl", "1")


def test_an_int_that_is_too_large_for_a_float_is_not_finite() -> None:
    for check in (check_duration, check_positive):
        with pytest.raises(ValueError, match=r"^ttl must be .*, not inf: it has to be"):
            check("ttl", 10**400)


async def coroutine_function() -> None: ...


class AsyncCallable:
    async def __call__(self) -> None: ...


class SyncCallable:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (coroutine_function, True),
        (functools.partial(coroutine_function), True),
        (functools.partial(functools.partial(AsyncCallable())), True),
        (AsyncCallable(), True),
        (SyncCallable(), False),
        (SyncCallable, False),
        (functools.partial(print), False),
        (len, False),
    ],
)
def test_a_coroutine_function_is_recognised_in_every_wrapping(
    value: object, answer: bool
) -> None:
    assert is_coroutine_callable(value) is answer
