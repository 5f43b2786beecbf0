"""Removes our frames from the tracebacks of failures.

Rules: a failure that is kept or passed to the user holds no frames of ours. Frames keep
their locals alive: the failure before, and so all failures of an outage; and the URL,
headers and credentials, which an error reporter would record. A log shows our frames
only as text, with file and line. It shows the user's own frames in full.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast


if TYPE_CHECKING:
    from types import TracebackType


E = TypeVar("E", bound=BaseException)

#: What ``logging`` takes for ``exc_info``.
ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"

#: How many causes of a failure are kept, each the cause of the one before. A callable
#: that raises each failure ``from`` the last would otherwise chain a whole outage.
MAX_CAUSES: Final = 5

_OURS: Final = __name__.partition(".")[0]


def without_frames(failure: E) -> E:
    """Remove the frames from a failure and its causes, and return the failure.

    Every failure passes through here before an event, an ending, the history or the end
    of a session keeps it, and before it is raised to the user. Its ``__context__`` is
    removed as well: Python sets it to any exception being handled at the time. Where
    the context matters, we raise ``from`` it.
    """
    waiting: list[tuple[BaseException, int]] = [(failure, 0)]
    while waiting:
        one, depth = waiting.pop()
        # An exception class of the user may be frozen, so do not assign attributes.
        one.with_traceback(None)
        object.__setattr__(one, "__context__", None)
        beneath = [] if one.__cause__ is None else [one.__cause__]
        if isinstance(one, BaseExceptionGroup):
            beneath += cast("BaseExceptionGroup[BaseException]", one).exceptions
        elif depth == MAX_CAUSES and beneath:
            object.__setattr__(one, "__cause__", None)
            beneath = []
        waiting += [(cause, depth + 1) for cause in beneath if depth < MAX_CAUSES]
    return failure


class NoFrames:
    """A context manager that removes our frames from a failure that leaves it.

    It wraps the body of public methods, so that an error reporter cannot record our
    variables. An exception that the user was handling stays the failure's context.
    """

    __slots__ = ("_handled",)

    def __enter__(self) -> None:
        self._handled = sys.exception()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        if isinstance(failure, Exception):
            handled = None if failure is self._handled else self._handled
            object.__setattr__(without_frames(failure), "__context__", handled)


def by_the_user(failure: BaseException) -> ExcInfo:
    """Return the ``exc_info`` with which to log an exception of a user's callable.

    It leaves out the frames through which we called the callable.
    """
    place = failure.__traceback__
    while place is not None and _is_ours(place):
        place = place.tb_next
    return type(failure), failure, place


def where_raised(failure: BaseException) -> str:
    """Return file and line of each frame, without the error text and its secrets."""
    return "".join(traceback.format_tb(failure.__traceback__)).rstrip()


def _is_ours(place: TracebackType) -> bool:
    name = str(place.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] == _OURS
