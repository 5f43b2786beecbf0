"""``connect(...)`` with these options, iterated over; callbacks tell what happens.

The program itself catches, retries and times nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

import resilient_ws
from benchmarks.reliability.clients.user import User, main


def _session(user: User) -> resilient_ws.Session:
    settings = user.settings
    wait = None if settings.default_backoff else resilient_ws.FullJitter(0.5, 2.0)

    async def close_at_once(_connection: resilient_ws.Connection) -> None:
        await session.close()

    session = resilient_ws.connect(
        user.url,
        headers=lambda _attempt: user.headers(),
        ssl=user.tls() or True,
        on_open=close_at_once if settings.callback == "closes in on_open" else None,
        limiter=_limiter(settings.dials_per_second),
        compression=None,
        wait_open=True,
        reconnect=resilient_ws.Reconnect(
            wait=wait,
            retry_after_cap=settings.retry_after_cap,
            fatal_after=settings.fatal_after,
        ),
        liveness=resilient_ws.Liveness(
            ping_interval=settings.ping_interval, ping_timeout=settings.ping_timeout
        ),
        timeouts=resilient_ws.Timeouts(
            open=settings.open_timeout, close=settings.close_timeout
        ),
        inbox=resilient_ws.Inbox(overflow=settings.overflow),
        access=resilient_ws.Access(allow_insecure=True),
    )
    return session


@functools.cache
def _limiter(dials_per_second: int | None) -> resilient_ws.ConnectLimiter | None:
    """One for all sessions of the process."""
    if dials_per_second is None:
        return None
    return resilient_ws.ConnectLimiter(rate=dials_per_second, per=1.0)


async def _misbehave(session: resilient_ws.Session, user: User) -> None:
    """What the user's callback does that it should not, or seldom does."""
    user.tell("called back")
    match user.settings.callback:
        case "raises":
            raise RuntimeError("a callback of the user")
        case "never returns":
            await asyncio.Event().wait()
        case "closes":
            await session.close()
        case "sends":
            await session.send("0")
        case _:
            pass


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

    @session.on(resilient_ws.HandlerFailed)
    def _(_event: resilient_ws.HandlerFailed) -> None:
        user.tell("handler failed")

    @session.on(resilient_ws.ConnectionOpened)
    async def _(_event: resilient_ws.ConnectionOpened) -> None:
        await _misbehave(session, user)

    user.ready()
    # Entering raises it too, when it is closed before it is open.
    with contextlib.suppress(resilient_ws.SessionClosed):
        async with session:
            async for message in session:
                await user.received(message)


if __name__ == "__main__":
    main(run)
