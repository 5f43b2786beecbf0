"""The seam between the two twins: the loops that are compiled, or else in Python.

Rules: both take and return the same, so nothing but the speed depends on which runs.
``compiled`` is missing where the package was built without a compiler, and is left
alone where it was built from another source. There, and where the environment has
``RESILIENT_WS_PURE=1``, ``pure`` runs. That is decided once, when this is imported.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol import pure


if TYPE_CHECKING:
    from types import ModuleType


def _twin() -> ModuleType:
    if os.environ.get("RESILIENT_WS_PURE", "0") not in {"", "0"}:
        return pure
    try:
        twin = import_module("resilient_ws.protocol.compiled")
    except ImportError:
        return pure
    return twin if getattr(twin, "INTERFACE", 0) == pure.INTERFACE else pure


_TWIN: Final = _twin()

#: Whether the compiled twin runs.
COMPILED: Final = _TWIN is not pure

if TYPE_CHECKING:
    frame, frames, walk = pure.frame, pure.frames, pure.walk
else:
    frame, frames, walk = _TWIN.frame, _TWIN.frames, _TWIN.walk
