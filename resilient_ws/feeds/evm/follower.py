"""Follows a chain over the connections of a client, one after the other.

Rules: on each connection one task drives the tracker, and no two at once: the next
begins when the one before has ended, so that what was told is known. What announces a
block only wakes it. A teller that waits for its consumer holds up this task, and
nothing else: what is announced meanwhile is fetched later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws.feeds.errors import FeedError, WrongChain
from resilient_ws.feeds.evm.connection import NodeConnection
from resilient_ws.feeds.evm.driving import Drive
from resilient_ws.feeds.evm.limits import DEFAULT_LIMITS, Limits
from resilient_ws.feeds.evm.types import head_of
from resilient_ws.feeds.flow import Stage
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.connection import NodeCall
    from resilient_ws.feeds.evm.driving import Teller
    from resilient_ws.feeds.evm.tracker import Tracker
    from resilient_ws.feeds.jsonrpc import Client
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.seat import Seat
    from resilient_ws.feeds.source import Key
    from resilient_ws.feeds.statistics import ChannelStatistics


logger = logging.getLogger("resilient_ws")


class Follower:
    """Follows a chain for one teller.

    Args:
        client: The client.
        tracker: Says what to do.
        teller: Tells the consumer.
        name: What gaps and logs call the stream.
        stale_after: Seconds without an announcement after which the newest block is
            asked for.
        poll_interval: The same, where the node announces nothing.
        limits: How much is asked of the node at once.
        pace: Whose turn it is to ask, where the teller asks the node as well.
        history: Calls another node for finalized blocks.
    """

    def __init__(
        self,
        client: Client,
        tracker: Tracker,
        teller: Teller,
        *,
        name: str,
        stale_after: float,
        poll_interval: float,
        limits: Limits = DEFAULT_LIMITS,
        pace: Pace | None = None,
        history: NodeCall | None = None,
    ) -> None:
        self._client = client
        self._tracker = tracker
        self._teller = teller
        self._stale_after = stale_after
        self._poll_interval = poll_interval
        self._history = history
        self._limits = limits
        self._pace = Pace(limits.rate) if pace is None else pace
        self._connection: NodeConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._hint = asyncio.Event()
        self._stands = False
        self._name = name
        # Remarks of each kind.
        self._remarks: Counter[str] = Counter()
        source: Source[Any, Any] = Source(
            subscribe=self._subscribe, unsubscribe=self._unsubscribe, name=name
        )
        self._seat: Seat = client.channel.attach(source, self, self._end)

    async def aclose(self) -> None:
        """End the stream, and tell the node.

        Cancellation:
            It has ended; the node may not have been told.
        """
        await self._client.channel.detach(self._seat)

    def _end(self, failure: Exception | None) -> None:
        """Take note that the stream has ended; the wrong chain is told as such."""
        cause = None if failure is None else failure.__cause__
        self._teller.finish(cause if isinstance(cause, WrongChain) else failure)

    # Subscribing.

    async def _subscribe(self, requests: Requests) -> Key:
        tracker = self._tracker
        connection = NodeConnection(
            self._client, requests, self._history, limits=self._limits, pace=self._pace
        )
        chain_id = await connection.chain_id(tracker.chain.chain_id)
        key = await connection.subscribe()
        subscribed = isinstance(key, Hashable) and key is not None
        quiet = self._stale_after if subscribed else self._poll_interval
        tracker.connected(chain_id, subscribed=subscribed, quiet=quiet)
        self._connection = connection
        return key if subscribed else object()

    async def _unsubscribe(self, requests: Requests, key: Key) -> None:
        if self._tracker.subscribed:
            await self._client.call_on(requests, "eth_unsubscribe", [key])

    # What the seat tells.

    @property
    def stage(self) -> Stage:
        """Whether there is a connection to follow the chain on."""
        return Stage.LIVE if self._stands else Stage.DOWN

    @property
    def cursor(self) -> None:
        """Nothing: announcements have no history."""

    @property
    def waiting(self) -> int:
        """Nothing waits here: the teller has what waits to be read."""
        return 0

    def added_to(self, others: ChannelStatistics) -> ChannelStatistics:
        """Return the counters of other streams with those of this one."""
        return attrs.evolve(others, gaps=others.gaps + self._teller.gaps)

    def resume(self, *, kept: bool = False) -> None:  # noqa: ARG002 - the interface
        """Follow the chain on a new connection, or subscription."""
        assert self._connection is not None  # noqa: S101 - it has subscribed
        self._stands = True
        work = self._follow(self._connection, self._task)
        self._task = self._client.channel.spawn(work)

    def suspend(self) -> None:
        """Take note that the connection, or the subscription, is gone."""
        self._tracker.lost()
        self._stop()

    def finish(self) -> None:
        """Stop: the stream has ended."""
        self._stop()

    def interrupted(self) -> None:
        """Take note that announcements may be missing."""
        self._tracker.missed()
        self._hint.set()

    def deliver(self, value: Any) -> None:
        """Take an announcement."""
        try:
            head = head_of(value)
        except FeedError as failure:
            logger.debug("an announcement cannot be read: %s", failure)
            self._client.channel.complain("an announcement that is no block")
            self._tracker.missed()
        else:
            self._tracker.announced(head)
        self._hint.set()

    def _stop(self) -> None:
        self._stands = False
        if self._task is not None:
            self._task.cancel()

    # Following.

    async def _follow(
        self, connection: NodeConnection, before: asyncio.Task[None] | None
    ) -> None:
        """Drive the tracker on one connection, once it is driven on no other."""
        if before is not None:
            await asyncio.wait({before})
        drive = Drive(
            self._tracker,
            self._teller,
            connection,
            hint=self._hint,
            replace=self._client.channel.replace,
            resubscribe=self._resubscribe,
            warn=self._warn,
        )
        try:
            await drive.run()
        except Exception as failure:  # noqa: BLE001 - the consumer is told
            self._teller.finish(failure)
            _ = self._client.channel.spawn(self.aclose())

    def _warn(self, kind: str, text: str) -> None:
        """Log a remark of the tracker, with how many there were of its kind."""
        self._remarks[kind] += 1
        self._client.channel.warn(
            f"{self._name} {kind}",
            "%s: %s (%d so far)",
            self._name,
            text,
            self._remarks[kind],
        )

    def _resubscribe(self) -> None:
        """Subscribe anew, for the subscription is deaf; first end what may wake up."""
        farewell = self._seat.farewell()
        if farewell is not None:
            _ = self._client.channel.spawn(farewell)
        self._seat.renew(0.0)
