"""Pure decisions: told what happened and what time it is, they say what to do.

Nothing here waits, reads a clock, or touches a socket; policies are frozen, and what
counts lives in run objects that a session makes for itself: ``Outage``, ``Round``,
``Judge``, ``Watch``, ``Pings``.
"""

from resilient_ws.policy.access import FETCH_BAD_PORTS, Access
from resilient_ws.policy.backoff import (
    LONGEST_WAIT,
    MIN_DIAL_SPACING,
    FullJitter,
    Outage,
    Reconnect,
    Retry,
    jittered_age,
    member_gap,
)
from resilient_ws.policy.endpoints import Round, Turn
from resilient_ws.policy.failures import (
    Ending,
    Verdict,
    default_verdict,
    floor,
)
from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.judge import Judge, Judgement
from resilient_ws.policy.liveness import Action, Liveness, Watch
from resilient_ws.policy.pings import Pings
from resilient_ws.policy.proxy import Proxy, parse_proxy
from resilient_ws.policy.timeouts import Timeouts
from resilient_ws.policy.url import (
    Endpoint,
    parse_endpoint,
    redirected,
    same_origin,
)


__all__ = [
    "FETCH_BAD_PORTS",
    "LONGEST_WAIT",
    "MIN_DIAL_SPACING",
    "Access",
    "Action",
    "Ending",
    "Endpoint",
    "FullJitter",
    "Judge",
    "Judgement",
    "Liveness",
    "Outage",
    "Pings",
    "Proxy",
    "Reconnect",
    "Retry",
    "Round",
    "Timeouts",
    "Turn",
    "Verdict",
    "Watch",
    "check_headers",
    "default_verdict",
    "floor",
    "jittered_age",
    "member_gap",
    "parse_endpoint",
    "parse_proxy",
    "redirected",
    "same_origin",
]
