"""What stands between the session of a channel and its subscriptions and calls.

Rules: made when the channel is entered, because its parts belong to the loop that runs
then. What came before a drop is routed before the drop is told. Whatever ends the
session ends every stream and call, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws import SessionClosed
from resilient_ws.feeds.calls import Calls
from resilient_ws.feeds.heartbeat import Heartbeat
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.listener import Listener
from resilient_ws.feeds.oddities import MessageOdd, Oddities
from resilient_ws.feeds.outgoing import OutgoingLine, give_up
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.protocol import Rotate
from resilient_ws.feeds.pump import Pump
from resilient_ws.feeds.registry import Registry
from resilient_ws.feeds.replacing import Replacements
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.roster import Roster
from resilient_ws.feeds.routing import Router
from resilient_ws.feeds.seat import Seat
from resilient_ws.feeds.throttled_log import ThrottledLog
from resilient_ws.feeds.turns import Turns
from resilient_ws.policy._validate import (
    check_callables,
    check_positive,
    check_rate,
    whole_number,
)


if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from resilient_ws import Session
    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.flow import Flow
    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.login import Login
    from resilient_ws.feeds.protocol import Ended, Protocol, Reset
    from resilient_ws.feeds.roster import Member
    from resilient_ws.feeds.seat import Stream
    from resilient_ws.feeds.source import Source
    from resilient_ws.feeds.statistics import ChannelStatistics
    from resilient_ws.feeds.tasks import Tasks
    from resilient_ws.protocol.message import Message


@attrs.frozen(kw_only=True)
class ChannelOptions:
    """The arguments of a channel, which documents them."""

    rate: float | None
    early: int
    timeout: float
    max_in_flight: int
    on_rotate: Callable[[Rotate], object] | None
    report: Callable[[MessageOdd], None] | None

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be used."""
        check_rate("rate", self.rate)
        whole_number("early", self.early, at_least=0)
        check_positive("timeout", self.timeout)
        whole_number("max_in_flight", self.max_in_flight, at_least=1)
        check_callables(on_rotate=self.on_rotate, report=self.report)


class Switchboard:
    """The parts of a channel in one event loop.

    Args:
        session: The session.
        protocol: Where each message belongs.
        login: What its ``on_open`` left.
        options: The arguments of the channel.
        tasks: Starts the tasks of the channel.
        new_id: Returns a number that no other request has.

    Attributes:
        turns: Tells when others must run before more is read.
        links: The connections.
        calls: The requests in flight.
        ended: What ended the channel; ``None`` as long as it lives.
    """

    def __init__(
        self,
        session: Session,
        protocol: Protocol,
        login: Login,
        options: ChannelOptions,
        *,
        tasks: Tasks,
        new_id: Callable[[], int],
    ) -> None:
        self._session, self._protocol, self._login = session, protocol, login
        self._options, self._tasks, self._new_id = options, tasks, new_id
        clock = asyncio.get_running_loop().time
        log = ThrottledLog(lambda: repr(session), clock)
        self.turns = Turns()
        self.links = Links(session)
        self.calls = Calls(self.links, max_in_flight=options.max_in_flight)
        self.ended: Exception | None = None
        # Called with what ended the channel, before its streams are ended.
        self._watchers: list[Callable[[Exception | None], None]] = []
        self._roster = Roster()
        self._log = log
        self._oddities = Oddities(log, options.report)
        self._registry = Registry(options.early, clock, self._unknown, self.turns)
        self._pace = Pace(options.rate)
        self._outgoing = OutgoingLine(self.turns, log, tasks.spawn)
        self._replacements = self._make_replacements()
        self._heartbeat = self._make_heartbeat()
        self._router = self._make_router()

    def _make_replacements(self) -> Replacements:
        return Replacements(
            self._session,
            self._protocol,
            self.links,
            self._tasks.spawn,
            settle=self._outgoing.settled,
            complain=lambda what: self._oddities.count("malformed", what),
            on_rotate=self._options.on_rotate,
        )

    def _make_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self._protocol,
            self._outgoing,
            self._tasks.spawn,
            received=lambda: self._session.statistics().messages_received,
            dead=self._replacements.replace,
        )

    def _make_router(self) -> Router:
        return Router(
            self._protocol,
            registry=self._registry,
            calls=self.calls,
            oddities=self._oddities,
            on_ended=self._key_ended,
            on_rotate=self._replacements.rotate,
            on_reset=self._reset,
            on_missed=self._overflowed,
            send=self._send,
        )

    # From the first message to the end.

    def start(self) -> None:
        """Read the session, and send what waits to be sent."""
        pump = Pump(
            self._session,
            route=self._router.message,
            on_open=self._opened,
            on_lost=self._lost,
            on_overflow=self._overflowed,
            turns=self.turns,
        )
        for work in (self._read(pump), self._outgoing.run()):
            _ = self._tasks.spawn(work)

    async def _read(self, pump: Pump) -> None:
        self.finish(await pump.run())

    def finish(self, failure: Exception | None) -> None:
        """End every stream and call: the session, or the channel, has ended."""
        if self.ended is not None:
            return
        self.ended = SessionClosed() if failure is None else failure
        self._heartbeat.stop()
        link = self.links.ended()
        if link is not None:
            self.calls.lost(link)
        self.links.finish(self.ended)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(failure)
        self._roster.finish(failure)

    # What the pump and the router tell.

    def _opened(self, epoch: int) -> None:
        link = self.links.opened(epoch)
        self._registry.opened()
        self._roster.opened(self._requests(link))
        self._heartbeat.start(link)
        self._router.left_by_login(self._login.take_left(epoch))

    def _lost(self) -> None:
        link = self.links.ended()
        self._heartbeat.stop()
        self._replacements.forget()
        if link is None:
            return
        self.calls.lost(link)
        self._registry.clear()
        self._roster.lost()

    def _overflowed(self) -> None:
        """Take note that messages are missing: answers, or items, or both."""
        self.calls.lost()
        self._roster.interrupted()

    def _key_ended(self, ended: Ended) -> None:
        known = ended.key in self._registry.by_key
        member = self._roster.holder_of(ended.key) if known else None
        if member is None:
            self._oddities.count("unexpected", "the end of no subscription")
        elif ended.again:
            member.renew()
        else:
            self._roster.leave(member, ended.because)

    def _reset(self, reset: Reset) -> None:
        self._login.resume = reset.resume
        self._replacements.reset(reset.reason)

    def _send(self, message: Message | Awaitable[Message | None]) -> None:
        """Send a message on this connection, at once or when it is made."""
        link = self.links.link
        if link is not None:
            self._outgoing.answer(link, message)
        elif not isinstance(message, str | bytes):
            give_up(message)

    def _unknown(self) -> None:
        self._oddities.count("unknown", "an item for nobody")

    def _requests(self, link: Link) -> Requests:
        wait = self._options.timeout
        return Requests(link, self.calls, new_id=self._new_id, timeout=wait)

    # Subscriptions and listeners.

    def seat(
        self,
        source: Source[Any, Any],
        stream: Stream,
        end: Callable[[Exception | None], None],
    ) -> Seat:
        """Take in a subscription; see ``Seat``."""
        seat = Seat(
            source,
            stream,
            end,
            registry=self._registry,
            pace=self._pace,
            spawn=self._tasks.spawn,
        )
        self._take_in(seat)
        return seat

    def listener(
        self,
        select: Callable[[Any], object] | None,
        flow: Flow[Any, Any],
        items: Buffer[Any],
    ) -> Listener:
        """Take in a listener."""
        seat = Listener(select, flow, items, self._router)
        self._take_in(seat)
        return seat

    def _take_in(self, member: Member) -> None:
        """Have it told of the connections, beginning with the open one."""
        self._roster.add(member)
        link = self.links.link
        if link is not None:
            member.opened(self._requests(link))

    def vacate(self, member: Member) -> Coroutine[Any, Any, None] | None:
        """End one; return what tells the server, if it has to be told."""
        farewell = member.farewell()
        self._roster.leave(member, None)
        return farewell

    def replace(self, reason: str) -> None:
        """Replace the open connection."""
        self._replacements.replace(reason)

    def complain(self, what: str) -> None:
        """Count a malformed message, and tell of it."""
        self._oddities.count("malformed", what)

    def warn(self, kind: str, text: str, *values: object) -> None:
        """Log a warning, at most one of its kind a minute."""
        self._log.warn(kind, text, *values)

    def watch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call a function with what ends the channel, before its streams are ended."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call that function no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def statistics(self) -> ChannelStatistics:
        """Return a snapshot of the counters."""
        counts = self._oddities.counts
        return attrs.evolve(
            self._roster.statistics(),
            items=self._router.items,
            unknown=counts["unknown"],
            malformed=counts["malformed"],
            unexpected=counts["unexpected"],
            calls_in_flight=len(self.calls),
            outgoing_dropped=self._outgoing.dropped,
        )
