"""Warnings that may come in numbers, at most one of each kind a minute in the log."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger("resilient_ws")

#: Seconds for which a line of a kind is not repeated.
SAY_AGAIN_AFTER: Final = 60.0


class ThrottledLog:
    """Logs a warning of each kind at most once a minute, so that they cannot fill it.

    Args:
        name: Returns what the log calls the channel.
        clock: The clock of the loop.
    """

    __slots__ = ("_clock", "_name", "_said")

    def __init__(self, name: Callable[[], str], clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._said: dict[str, float] = {}

    def warn(self, kind: str, text: str, *values: object) -> None:
        """Log a warning, unless one of its kind was logged just now."""
        now = self._clock()
        if now - self._said.get(kind, -math.inf) >= SAY_AGAIN_AFTER:
            self._said[kind] = now
            logger.warning("%s: %s", self._name(), text % values)
