"""``connect(...)`` with these options, iterated over; callbacks tell what happens.

The program itself catches, retries and times nothing.
"""

from __future__ import annotations

import contextlib

import resilient_ws
from benchmarks.reliability.clients.user import User, main


def _session(user: User) -> resilient_ws.Session:
    settings = user.settings
    wait = None if settings.default_backoff else resilient_ws.FullJitter(0.5, 2.0)
    return resilient_ws.connect(
        settings.url,
        compression=None,
        wait_open=True,
        reconnect=resilient_ws.Reconnect(wait=wait),
        liveness=resilient_ws.Liveness(
            ping_interval=settings.ping_interval, ping_timeout=settings.ping_timeout
        ),
        timeouts=resilient_ws.Timeouts(
            open=settings.open_timeout, close=settings.close_timeout
        ),
        inbox=resilient_ws.Inbox(overflow=settings.overflow),
        access=resilient_ws.Access(allow_insecure=True),
    )


async def run(user: User) -> None:
    """Iterate over the session; callbacks tell what happens beneath it."""
    session = _session(user)

    @session.on(resilient_ws.ConnectionOpened)
    def _(_event: resilient_ws.ConnectionOpened) -> None:
        user.opened(session.send, session.close)

    @session.on(resilient_ws.ConnectionDropped)
    def _(event: resilient_ws.ConnectionDropped) -> None:
        user.ended(event.because)

    @session.on(resilient_ws.AttemptFailed)
    def _(event: resilient_ws.AttemptFailed) -> None:
        user.ended(event.because)

    @session.on(resilient_ws.LoopLagged)
    def _(event: resilient_ws.LoopLagged) -> None:
        user.tell("lagged", by=event.by)

    @session.on(resilient_ws.InboxOverflowed)
    def _(event: resilient_ws.InboxOverflowed) -> None:
        user.tell("overflowed", discarded=event.discarded)

    user.ready()
    async with session:
        with contextlib.suppress(resilient_ws.SessionClosed):
            async for message in session:
                await user.received(message)


if __name__ == "__main__":
    main(run)
