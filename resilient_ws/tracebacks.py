"""What is remembered of a failure, and what may be seen of where it was raised.

Rules: a failure that is remembered, or leaves us, holds no frames of ours. Frames hold
all that there was: the failure before, and so the whole of an outage; and the URL, the
headers and the credentials, for whoever records the locals of frames to see. Frames of
ours reach a log as text alone, file and line; frames of the user's are theirs to see.
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

#: How many causes, one beneath the other, are kept. A callable that raises its failure
#: from the one before would otherwise chain a whole outage together.
MAX_CAUSES: Final = 5

_OURS: Final = __name__.partition(".")[0]


def without_frames(failure: E) -> E:
    """Return a failure with its causes and their texts, and with no frame.

    The one door to whatever outlives the moment of a failure (events, endings, the
    history, the end of a session) and to the user's own frames. What Python noted as
    its context goes as well: that is whatever happened to be handled just then, and
    where it mattered, the failure was raised ``from`` it.
    """
    waiting: list[tuple[BaseException, int]] = [(failure, 0)]
    while waiting:
        one, depth = waiting.pop()
        # Not by assignment: an exception class of the user's may be frozen.
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
    """``with NoFrames():`` around what is done for a call of the user's.

    A failure comes to the user's frames without one of ours, so that no variable of
    ours can be recorded. What the user was handling meanwhile stays its context.
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
    """Return what a log is to show of an exception that a user's callable raised.

    The frames through which we called it are left out.
    """
    place = failure.__traceback__
    while place is not None and _is_ours(place):
        place = place.tb_next
    return type(failure), failure, place


def where_raised(failure: BaseException) -> str:
    """Return file and line of each frame; not the text, which may hold a secret."""
    return "".join(traceback.format_tb(failure.__traceback__)).rstrip()


def _is_ours(place: TracebackType) -> bool:
    name = str(place.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] == _OURS
