"""Which logs are asked for, and how."""

from __future__ import annotations

import attrs

from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_checks import Verify
from resilient_ws.feeds.evm.log_filter import LogFilter


@attrs.frozen(kw_only=True)
class LogQuery:
    """What ``logs`` was given, for those who ask a node.

    Attributes:
        wanted: The filter.
        verify: How far logs are verified.
        limits: How much is asked for at once.
        patience: Seconds that the node may take to have what it should have.
    """

    wanted: LogFilter
    verify: Verify
    limits: Limits
    patience: float
