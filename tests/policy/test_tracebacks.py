"""Failures that are kept or raised hold none of our frames."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NoReturn

import pytest

from resilient_ws.policy.tracebacks import (
    MAX_CAUSES,
    NoFrames,
    by_the_user,
    where_raised,
    without_frames,
)


if TYPE_CHECKING:
    from collections.abc import Callable


def fail(failure: BaseException) -> NoReturn:
    raise failure


def raised(failure: BaseException) -> BaseException:
    """The failure, with a traceback, and with another one as its context."""
    try:
        try:
            fail(KeyError("context"))
        except KeyError:
            fail(failure)
    except type(failure) as caught:
        return caught


def test_a_failure_loses_its_frames_and_its_context() -> None:
    failure = raised(OSError("reset"))
    assert failure.__traceback__ is not None
    assert failure.__context__ is not None
    assert without_frames(failure) is failure
    assert [failure.__traceback__, failure.__context__] == [None, None]


def test_its_causes_lose_theirs_and_are_bounded() -> None:
    failures = [raised(OSError(str(number))) for number in range(MAX_CAUSES + 5)]
    for failure, cause in itertools.pairwise(failures):
        failure.__cause__ = cause
    without_frames(failures[0])
    chain = [failures[0]]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    assert chain == failures[: MAX_CAUSES + 1]
    assert {failure.__traceback__ for failure in chain} == {None}


def test_the_members_of_a_group_lose_theirs() -> None:
    members = [raised(OSError("a")), raised(ValueError("b"))]
    without_frames(BaseExceptionGroup("several", members))
    assert [member.__traceback__ for member in members] == [None, None]


def test_an_exception_of_the_user_may_be_frozen() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    failure = raised(Frozen())
    assert without_frames(failure).__traceback__ is None


def test_what_leaves_a_public_method_keeps_what_the_user_was_handling() -> None:
    def method() -> None:
        with NoFrames():
            raised(KeyError("inside"))
            fail(OSError("reset"))

    handled = ValueError("the user's")
    with pytest.raises(OSError, match="reset") as caught:  # noqa: PT012
        try:
            fail(handled)
        except ValueError:
            method()
    assert caught.value.__context__ is handled
    assert "fail" not in [entry.name for entry in caught.traceback]


def test_an_interrupt_is_left_alone() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, NoFrames():
        fail(KeyboardInterrupt())
    assert caught.value.__traceback__ is not None


@pytest.fixture
def call() -> Callable[[Callable[[], object]], object]:
    """A function of the package, by its name, that calls a callable of the user."""
    namespace: dict[str, object] = {"__name__": "resilient_ws.supervisor.stand_in"}
    exec("def call(callable): return callable()", namespace)
    return namespace["call"]  # type: ignore[return-value]


def test_a_log_begins_with_the_frame_of_the_user(
    call: Callable[[Callable[[], object]], object],
) -> None:
    def hook() -> None:
        raise ValueError("s3cret")

    # The frame of this test is the user's too, so the call is made without it.
    with pytest.raises(ValueError, match="s3cret") as caught:
        call(hook)
    failure = caught.value
    assert failure.__traceback__ is not None
    failure = failure.with_traceback(failure.__traceback__.tb_next)
    kind, same, place = by_the_user(failure)
    assert (kind, same) == (ValueError, failure)
    assert place is not None
    assert place.tb_frame.f_code.co_name == "hook"


def test_where_it_was_raised_is_told_without_its_text() -> None:
    where = where_raised(raised(ValueError("s3cret")))
    assert "test_tracebacks.py" in where
    assert "s3cret" not in where.replace('ValueError("s3cret")', "")
    assert where_raised(ValueError("never raised")) == ""
