"""Writes the lines of one session's log.

Rules: a line that may repeat is written at once and then at most once a minute, with a
count. Payloads and secrets are never written. Each record carries ``session``,
``epoch`` and ``endpoint``.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from resilient_ws.policy.tracebacks import by_the_user


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.policy.tracebacks import ExcInfo


logger = logging.getLogger("resilient_ws")

#: Seconds before a line of the same kind is written again.
SAY_AGAIN_AFTER: Final = 60.0

#: How many kinds of lines are kept apart. Without a limit, exception classes that are
#: made at run time would fill the memory.
MAX_KINDS: Final = 100


class SessionLog:
    """The log of one session.

    Args:
        name: The session's name.
        clock: The clock of its loop.
    """

    __slots__ = ("_clock", "_endpoint", "_epoch", "_name", "_said")

    def __init__(self, name: str, *, clock: Callable[[], float]) -> None:
        self._name: Final = name
        self._clock = clock
        # By kind of line: when one was last written, and how many were left out since.
        self._said: dict[str, tuple[float, int]] = {}
        self._epoch = 0
        self._endpoint = name

    @property
    def epoch(self) -> int:
        """The ordinal of the newest open connection, 0 before the first."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the ordinal of the newest open connection, which each record carries."""
        self._epoch = epoch

    def set_endpoint(self, endpoint: str) -> None:
        """Set the endpoint of the newest attempt, which each record carries.

        It must contain no secrets.
        """
        self._endpoint = endpoint

    def say(
        self,
        level: int,
        text: str,
        *args: object,
        exc_info: ExcInfo | None = None,
    ) -> None:
        """Write a line."""
        if not logger.isEnabledFor(level):
            return
        about = {
            "session": self._name,
            "epoch": self._epoch,
            "endpoint": self._endpoint,
        }
        text = f"%s: {text}"
        logger.log(level, text, self._name, *args, exc_info=exc_info, extra=about)

    def say_paced(self, level: int, what: str, text: str, *args: object) -> None:
        """Write a line, unless one of its kind was written within the last minute.

        Args:
            level: The logging level.
            what: The kind of line.
            text: The line, a format string.
            args: The arguments of the format string.
        """
        now = self._clock()
        said, kept = self._said.get(what, (-math.inf, 0))
        if now - said < SAY_AGAIN_AFTER:
            self._said[what] = said, kept + 1
            return
        self._said[what] = now, 0
        more = f" ({kept} more since the last such line)" if kept else ""
        self.say(level, f"{text}%s", *args, more)

    def reset_pace(self, what: str) -> None:
        """Let the next line of a kind be written at once."""
        self._said.pop(what, None)

    def say_raised(self, where: str, failure: Exception) -> None:
        """Log the exception of a user's callable, with a traceback the first time.

        Call this while the exception still has its traceback.
        """
        line = ("%s raised %s", where, type(failure).__name__)
        seen = f"{where} raised {type(failure).__qualname__}"
        if seen in self._said or len(self._said) > MAX_KINDS:
            self.say_paced(logging.ERROR, where, *line)
        else:
            self._said[seen] = self._clock(), 0
            self.say(logging.ERROR, *line, exc_info=by_the_user(failure))
