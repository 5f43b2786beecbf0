"""Processes that the measurement of coverage leaves alone."""

from __future__ import annotations

import os


def environment() -> dict[str, str]:
    """What a process inherits where coverage would change what it shows.

    Coverage starts in every Python process that finds its variables: it loads
    ``sqlite3`` and calls a tracer for each line.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV_", "COVERAGE_"))
    }
