"""Runs a function in a forked child."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable


def in_a_child(work: Callable[[], bytes]) -> bytes:
    """Return what a function returns in a forked child."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer versions of Python warn of forks where there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        answer = b"it raised"
        try:
            answer = work()
        finally:
            os.write(writing, answer)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer
