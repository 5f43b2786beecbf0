"""Holds an open connection, and does what its age calls for.

Rules: a connection is stable after ``stable_after``. At ``max_age`` it is replaced.
If a subscription seems to have ended with an earlier connection, the log says so. One
wait covers all three, and the end of the connection, and the user's orders.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from resilient_ws.events import ConnectionStable
from resilient_ws.policy.backoff import jittered_age
from resilient_ws.policy.silence import Silence
from resilient_ws.supervisor.commands import Replace, RetryNow


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.policy.recovery import Recovery
    from resilient_ws.settings import Settings
    from resilient_ws.supervisor.commands import Orders
    from resilient_ws.supervisor.journal import Journal
    from resilient_ws.supervisor.log import SessionLog
    from resilient_ws.transport.wire import Wire


class Serving:
    """Waits on the open connections of one session, one after the other."""

    __slots__ = (
        "_clock",
        "_journal",
        "_log",
        "_orders",
        "_policy",
        "_recovery",
        "_report",
        "_silence",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        orders: Orders,
        journal: Journal,
        recovery: Recovery,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._policy = settings.reconnect
        self._orders = orders
        self._journal = journal
        self._recovery = recovery
        self._log = log
        self._clock = loop.time
        self._report = report
        self._silence = Silence(restores=settings.on_open is not None)

    async def hold(self, wire: Wire) -> float:
        """Wait until a connection ends, or until an order says to end it.

        Returns:
            When the connection was opened, on the clock of the loop.
        """
        opened = self._clock()
        stable_at = opened + self._policy.stable_after
        retire_at = self._retire_at(opened)
        tally = self._journal.tally
        quiet_at = opened + self._silence.due_after(
            sent=tally.messages_sent, received=tally.messages_received
        )
        while not wire.ended.done() and self._orders.waiting() is None:
            now = self._clock()
            if now >= stable_at:
                stable_at = math.inf
                self._recovery.stable()
                self._report(ConnectionStable(epoch=self._journal.epoch))
            if now >= retire_at:
                self._orders.give(Replace(reason="it has reached max_age"))
            if now >= quiet_at:
                quiet_at = now + self._listen(wire)
            due = min(stable_at, retire_at, quiet_at)
            timeout = None if due == math.inf else due - now
            await self._orders.first(wire.ended, timeout=timeout)
            if isinstance(self._orders.waiting(), RetryNow):
                self._orders.take()
        self._silence.ended(
            received=wire.incoming.messages_received, uptime=self._clock() - opened
        )
        return opened

    def _retire_at(self, opened: float) -> float:
        """Return when a connection reaches ``max_age``: never, where there is none."""
        if self._policy.max_age is None:
            return math.inf
        return opened + jittered_age(self._policy.max_age, self._policy.rng)

    def _listen(self, wire: Wire) -> float:
        """Warn if a subscription seems to have ended with an earlier connection.

        Returns:
            The seconds until the next look, or infinity.
        """
        incoming = wire.incoming
        seconds = self._silence.ask_after(
            sent=wire.outgoing.messages_written,
            received=incoming.messages_received,
            paused=incoming.paused,
        )
        if seconds == 0.0:
            self._log.fell_silent()
            return math.inf
        return seconds
