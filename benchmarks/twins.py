"""The compiled part of the package and its pure twin: which of them a process runs."""

from __future__ import annotations

import importlib.util
import os
from typing import Final


VARIABLE: Final = "RESILIENT_WS_PURE"
BUILD: Final = (
    "The compiled part of resilient_ws is missing, so there is nothing to compare. "
    "Install a C compiler and the headers of Python (gcc, libc6-dev, python3-dev), "
    "then run `pip install --no-deps --editable .`"
)


def environment(*, pure: bool) -> dict[str, str]:
    """Return our environment, changed so that a program runs the twin that is meant."""
    chosen = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return {**chosen, VARIABLE: "1"} if pure else chosen


def built() -> bool:
    """Return whether the compiled part is there, whichever twin this process runs."""
    return importlib.util.find_spec("resilient_ws.protocol.compiled") is not None
