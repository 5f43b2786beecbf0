"""What the command says of the package that runs: its version, and whether compiled."""

from __future__ import annotations

import resilient_ws


def version_text() -> str:
    """Return the name, the version, and which twin of the two loops runs."""
    runs = "compiled" if resilient_ws.__compiled__ else "pure Python"
    return f"resilient-ws {resilient_ws.__version__} ({runs})"
