"""One connection of a probe: a session without reconnects, and what passed over it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

from resilient_ws import (
    ConnectionDropped,
    ConnectionOpened,
    Event,
    Liveness,
    Reconnect,
    ResilientWSError,
    Timeouts,
)


if TYPE_CHECKING:
    from resilient_ws import Session, Traffic
    from resilient_ws.cli.server_options import ServerOptions

_SILENT: Final = Liveness(ping_interval=None)
#: The most entries of traffic that are kept.
_MOST_KEPT: Final = 100_000


class ProbedLink:
    """A connection, entered once; raises the library's error if there is none.

    Args:
        options: Where to connect.
        within: Seconds to open.
        liveness: When to ping; by default never, so that the link is idle.
        subprotocols: Offered in place of those of the options.

    Attributes:
        session: The session.
        opened: What the server agreed to.
        traffic: What passed, in order.
        dropped: How it ended, ``None`` while it has not.
        dropped_at: When it ended, by the loop's clock.
    """

    def __init__(
        self,
        options: ServerOptions,
        *,
        within: float,
        liveness: Liveness = _SILENT,
        subprotocols: list[str] | None = None,
    ) -> None:
        offered = options.subprotocols if subprotocols is None else subprotocols
        self.session: Session = options.connect(
            subprotocols=offered,
            reconnect=Reconnect.once(),
            liveness=liveness,
            timeouts=Timeouts(open=within, close=1.0),
            wait_open=within + 1,
        )
        self.traffic: list[Traffic] = []
        self.opened = ConnectionOpened(epoch=1, endpoint="", extensions={})
        self.dropped: ConnectionDropped | None = None
        self.dropped_at = 0.0
        self.session.tap(self._take)
        self.session.on(Event, self._note)
        self._stack = contextlib.AsyncExitStack()
        self._reading: asyncio.Task[None] | None = None
        self.opened_at = 0.0

    def _take(self, traffic: Traffic) -> None:
        if len(self.traffic) < _MOST_KEPT:
            self.traffic.append(traffic)

    def _note(self, event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            self.opened = event
        elif isinstance(event, ConnectionDropped):
            self.dropped = event
            self.dropped_at = asyncio.get_running_loop().time()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.session)
        loop = asyncio.get_running_loop()
        self.opened_at = loop.time()
        self._reading = loop.create_task(self._read())
        # The event of the opening comes through the dispatcher.
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._stack.aclose()

    async def _read(self) -> None:
        """Take the messages, so that reading never stops."""
        with contextlib.suppress(ResilientWSError):
            async for _ in self.session:
                pass

    async def ended_within(self, seconds: float) -> bool:
        """Wait that long, or until the connection has ended; return whether it has."""
        with contextlib.suppress(TimeoutError, ResilientWSError):
            async with asyncio.timeout(seconds):
                await self.session.wait_closed()
        return self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the connection is over."""
        return self.session.state.ending

    def last_heard(self) -> float:
        """Return when anything last passed but a close, or else when it opened."""
        times = [one.at for one in self.traffic if one.kind != "close"]
        return max(times, default=self.opened_at)

    def received(self, *kinds: str, since: float = 0.0) -> list[Traffic]:
        """Return what came of these kinds, from a time of the loop's clock on."""
        return [
            one
            for one in self.traffic
            if not one.sent and one.kind in kinds and one.at >= since
        ]
