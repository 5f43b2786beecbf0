"""The wait before the next dial, and what decided it."""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.events import RetrySource


@attrs.frozen
class RetryDelay:
    """A number of seconds to wait, and the reason for it.

    Attributes:
        seconds: How long to wait.
        source: What decided it, as ``RetryScheduled`` tells users.
    """

    seconds: float
    source: RetrySource


#: Nothing is added to the policy's own wait.
NO_EXTRA: Final = RetryDelay(0.0, "wait")
