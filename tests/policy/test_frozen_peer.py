"""What the demo's freeze brought to light, without its wire."""

from __future__ import annotations

from resilient_ws.policy.liveness import Action, Liveness, Watch


def test_what_leaves_after_the_ping_does_not_excuse_a_missing_pong() -> None:
    """The kernel of a frozen process acknowledges, and nobody is behind it."""
    watch = Watch(Liveness(ping_interval=1.0, ping_timeout=1.0))
    watch.opened(0.0)
    now, written, action = 0.0, 0, Action.NOTHING
    while action is not Action.SETTLE and now < 10.0:
        now = watch.due()
        # A message every time: the one before is acknowledged, this one is not yet.
        written += 10
        action = watch.check(now, outgoing=10, written=written)
    assert now <= 1.0 + 1.0 + 0.2
