"""The one consumer of a session, which hands each message to whoever asked for it.

Rules: one task, the pump, reads the session's stream, and never waits for a consumer, a
call or the transport. What came before a drop is routed before the drop is told. The
channel owns every task of its subscriptions, and ends them when it is left.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import attrs

from resilient_ws import SessionClosed, State
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.calls import Calls, value_of
from resilient_ws.feeds.errors import CallTimeout, renewed
from resilient_ws.feeds.flow import Flow
from resilient_ws.feeds.heartbeat import Heartbeat
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.listener import Listener
from resilient_ws.feeds.oddities import Oddities
from resilient_ws.feeds.outgoing import Outgoing, give_up
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.protocol import Everything, Plain
from resilient_ws.feeds.pump import Pump
from resilient_ws.feeds.registry import Registry
from resilient_ws.feeds.replacing import Replacements
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.roster import Roster
from resilient_ws.feeds.routing import Router
from resilient_ws.feeds.seat import Seat
from resilient_ws.feeds.seldom import Seldom
from resilient_ws.feeds.source import Source
from resilient_ws.feeds.subscription import Subscription
from resilient_ws.feeds.turns import Turns


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from resilient_ws import Connection, Session
    from resilient_ws.feeds.calls import Id, Outcome
    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.protocol import Ended, Protocol, Reset, Rotate
    from resilient_ws.feeds.seat import End, Stream
    from resilient_ws.feeds.source import Gap
    from resilient_ws.feeds.statistics import ChannelStatistics
    from resilient_ws.protocol.message import Message


T = TypeVar("T")
C = TypeVar("C")


logger = logging.getLogger("resilient_ws")

_NOT_ENTERED: Final = "Enter the channel first: async with Channel(...) as channel."


#: The stream of a listener: all that comes, with a gap at each drop.
_ALL: Final[Source[Any, Any]] = Source()


class Channel:
    """Many streams and calls over one session.

    Use it as ``async with Channel(connect(...), protocol) as channel``: it enters the
    session, and closes it at the end. A session that you entered yourself stays yours;
    its protocol then cannot log in, because that must happen in ``on_open``.

    Args:
        session: The session. The channel is its only consumer.
        protocol: Where each message belongs; by default, all go to ``listen``.
        rate: Subscriptions a second, at most; ``None`` (default) for no limit. A
            thousand of them must not get a new connection closed.
        early: Items that are held until the answer to their subscription has come
            (default 256, for 5 seconds).
        timeout: Seconds that a request of a source waits for its answer (default 30).
        max_in_flight: Requests that wait for an answer at once (default 256).
        on_rotate: Called with the ``Rotate`` when the server asks for a new connection,
            instead of replacing the connection: see ``overlap``.
        report: Called with a ``MessageOdd`` for each message of the server that is
            malformed or for nobody; ``statistics`` counts them in any case.

    Raises:
        RuntimeError: The protocol logs in, and the session was entered before.
    """

    def __init__(
        self,
        session: Session,
        protocol: Protocol | None = None,
        *,
        rate: float | None = None,
        early: int = 256,
        timeout: float = 30.0,
        max_in_flight: int = 256,
        on_rotate: Callable[[Rotate], object] | None = None,
        report: Callable[[MessageOdd], None] | None = None,
    ) -> None:
        self._session = session
        self._protocol: Protocol = Everything() if protocol is None else protocol
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._rate = rate
        self._early = early
        self._ids = itertools.count(1)
        self._names = itertools.count(1)
        self._roster = Roster()
        # Called with what ended the channel, before its streams are ended.
        self._watchers: list[Callable[[Exception | None], None]] = []
        self._begun = False
        # Why nothing can be had of the channel: not yet, or not any more.
        self._closed: Exception | None = RuntimeError(_NOT_ENTERED)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_rotate = on_rotate
        self._report = report
        # Whether the server may know us from an earlier connection.
        self._resume = False
        # What a login left to be routed, and the epoch of its connection.
        self._left: tuple[int, Sequence[Message]] = 0, ()
        self._owns = session.state is State.IDLE
        logs_in = getattr(type(self._protocol), "login", None) is not Plain.login
        if self._owns:
            session.on_open(self._login)
        elif logs_in:
            raise RuntimeError(
                "The protocol logs in on each connection, so give it a session that "
                "was not entered: async with Channel(connect(...), protocol)."
            )

    # Entering and leaving.

    async def __aenter__(self) -> Self:
        """Enter the session, unless it was entered before, and start to read it.

        Raises:
            ResilientWSError: No connection opened in time.

        Cancellation:
            Ends the session at once; nothing is left behind.
        """
        if self._owns:
            await self._session.__aenter__()
        self._begin()
        return self

    def _begin(self) -> None:
        """Make the parts, which belong to the loop that runs now, and start them."""
        clock = asyncio.get_running_loop().time
        self._closed, self._begun = None, True
        self._turns = Turns()
        self._log = Seldom(lambda: repr(self._session), clock)
        self._oddities = Oddities(self._log, self._report)
        self._links = Links(self._session)
        self._calls = Calls(self._links, max_in_flight=self._max_in_flight)
        self._registry = Registry(self._early, clock, self._on_unknown, self._turns)
        self._pace = Pace(self._rate)
        self._outgoing = Outgoing(self._turns, self._log, self._spawn)
        replacements = self._replacements = Replacements(
            self._session,
            self._protocol,
            self._links,
            self._spawn,
            settle=self._outgoing.settled,
            complain=lambda what: self._oddities.count("malformed", what),
            on_rotate=self._on_rotate,
        )
        self._heartbeat = Heartbeat(
            self._protocol,
            self._outgoing,
            self._spawn,
            received=lambda: self._session.statistics().messages_received,
            dead=replacements.replace,
        )
        self._router = Router(
            self._protocol,
            registry=self._registry,
            calls=self._calls,
            oddities=self._oddities,
            on_ended=self._ended,
            on_rotate=replacements.rotate,
            on_reset=self._reset,
            on_missed=self._overflowed,
            send=self._send,
        )
        pump = Pump(
            self._session,
            route=self._router.message,
            on_open=self._opened,
            on_lost=self._lost,
            on_overflow=self._overflowed,
            turns=self._turns,
        )
        for work in (self._read(pump), self._outgoing.run()):
            _ = self._spawn(work)

    async def _read(self, pump: Pump) -> None:
        self._finish(await pump.run())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the subscriptions and calls, and the session if the channel entered it.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        try:
            await self._stop()
        finally:
            if self._owns:
                await self._session.__aexit__(exc_type, exc, traceback)

    async def _stop(self) -> None:
        """End every task; nothing that waits is left waiting."""
        self._finish(None)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, failure: Exception | None) -> None:
        """End every stream and call: the session, or the channel, has ended."""
        if self._closed is not None:
            return
        self._closed = SessionClosed() if failure is None else failure
        self._heartbeat.stop()
        link = self._links.ended()
        if link is not None:
            self._calls.lost(link)
        self._links.finish(self._closed)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(failure)
        self._roster.finish(failure)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the channel."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.error("A task of %r failed", self._session, exc_info=failure)

    async def _login(self, connection: Connection) -> None:
        """Log in on a new connection: the ``on_open`` of the session."""
        left = await self._protocol.login(connection, self._resume)
        if left:
            self._left = connection.epoch, left
        self._resume = True

    # What the pump and the router tell.

    def _opened(self, epoch: int) -> None:
        link = self._links.opened(epoch)
        requests = self._requests(link)
        self._registry.opened()
        self._roster.opened(requests)
        self._heartbeat.start(link)
        left_on, left = self._left
        if left_on == epoch:
            self._left = 0, ()
            for message in left:
                self._router.message(message)

    def _lost(self) -> None:
        link = self._links.ended()
        self._heartbeat.stop()
        self._replacements.forget()
        if link is None:
            return
        self._calls.lost(link)
        self._registry.clear()
        self._roster.lost()

    def _overflowed(self) -> None:
        """Take note that messages are missing: answers, or items, or both."""
        self._calls.lost()
        self._roster.interrupted()

    def _ended(self, ended: Ended) -> None:
        known = ended.key in self._registry.by_key
        member = self._roster.holder_of(ended.key) if known else None
        if member is None:
            self._oddities.count("unexpected", "the end of no subscription")
        elif ended.again:
            member.renew()
        else:
            self._roster.leave(member, ended.because)

    def _reset(self, reset: Reset) -> None:
        self._resume = reset.resume
        self._replacements.reset(reset.reason)

    def _send(self, message: Message | Awaitable[Message | None]) -> None:
        """Send a message on this connection, at once or when it is made."""
        link = self._links.link
        if link is not None:
            self._outgoing.answer(link, message)
        elif not isinstance(message, str | bytes):
            give_up(message)

    def _on_unknown(self) -> None:
        self._oddities.count("unknown", "an item for nobody")

    def _requests(self, link: Link) -> Requests:
        return Requests(link, self._calls, new_id=self.new_id, timeout=self._timeout)

    # Using.

    async def subscribe(
        self,
        source: Source[T, C],
        *,
        after: C | None = None,
        buffer: int = 1024,
        overflow: Literal["refill", "gap"] = "refill",
    ) -> Subscription[T]:
        """Subscribe to a stream, and return when the server has granted it.

        Args:
            source: The stream.
            after: The cursor of the last item that you have; what came since is
                fetched first.
            buffer: Items that may wait to be read (default 1,024).
            overflow: What happens when they are that many: ``"refill"`` (default)
                fetches the rest when there is room, where the source can; ``"gap"``
                leaves them, and yields a ``Gap``.

        Raises:
            ResilientWSError: The session has ended.
            SubscribeRefused: The server refused; ``__cause__`` says how.

        Cancellation:
            There is no subscription; the server is told where it had granted one.
        """
        self._check()
        name = source.name or str(next(self._names))
        items: Buffer[T | Gap] = Buffer(buffer, self._turns)
        refill = overflow == "refill"
        flow = Flow(name, source, items, after=after, refill=refill, spawn=self._spawn)
        seat = self._seat(source, flow, items)
        subscription = self._seated(name, seat, items, flow)
        try:
            failure = await seat.granted
        except asyncio.CancelledError:
            farewell = self._vacate(seat)
            if farewell is not None:
                _ = self._spawn(farewell)
            raise
        if failure is not None:
            raise renewed(failure)
        return subscription

    def listen(
        self, select: Callable[[Any], object] | None = None, *, buffer: int = 1024
    ) -> Subscription[Any]:
        """Return a stream of all that comes, beside the subscriptions.

        Any number may listen, each with a buffer of its own. A drop, and what found no
        room in the buffer, is shown as a ``Gap``.

        Args:
            select: Tells whether an item is wanted; ``None`` (default) for all.
            buffer: Items that may wait to be read (default 1,024).
        """
        self._check()
        name = str(next(self._names))
        items: Buffer[Any] = Buffer(buffer, self._turns)
        flow = Flow(name, _ALL, items, after=None, refill=False, spawn=self._spawn)
        seat = Listener(select, flow, items, self._router)
        return self._seated(name, seat, items, flow)

    # For what makes more of a stream than a subscription does, as ``Books``.

    def attach(self, source: Source[Any, Any], stream: Stream, end: End) -> Seat:
        """Subscribe on each connection, and tell a stream what comes of it.

        Args:
            source: How to subscribe.
            stream: Gets the items, and is told when the subscription comes and goes.
            end: Told when the subscription, or the channel, has ended.

        Raises:
            ResilientWSError: The session has ended.
        """
        self._check()
        seat = self._seat(source, stream, end)
        self._take_in(seat)
        return seat

    async def detach(self, seat: Seat) -> None:
        """End what was attached, and tell the server; do nothing if it has ended.

        Cancellation:
            It has ended; the server may not have been told.
        """
        farewell = self._vacate(seat)
        if farewell is not None:
            await farewell

    def watch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call a function with what ends the channel, before its streams are ended.

        Raises:
            ResilientWSError: The session has ended.
        """
        self._check()
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call that function no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the channel."""
        return self._spawn(work)

    def _check(self) -> None:
        """Refuse what comes too early, or too late.

        Raises:
            RuntimeError: The channel was not entered.
            ResilientWSError: It has ended.
        """
        if self._closed is not None:
            raise renewed(self._closed)

    def _seated(
        self,
        name: str,
        seat: Seat | Listener,
        items: Buffer[T | Gap],
        flow: Flow[T, Any],
    ) -> Subscription[T]:
        self._take_in(seat)

        async def close() -> None:
            farewell = self._vacate(seat)
            if farewell is not None:
                await farewell

        return Subscription(name, items, flow, close)

    def _seat(self, source: Source[Any, Any], stream: Stream, end: End) -> Seat:
        return Seat(
            source,
            stream,
            end,
            registry=self._registry,
            pace=self._pace,
            spawn=self._spawn,
        )

    def _take_in(self, seat: Seat | Listener) -> None:
        """Have a seat told of the connections, beginning with the open one."""
        self._roster.add(seat)
        link = self._links.link
        if link is not None:
            seat.opened(self._requests(link))

    def _vacate(self, seat: Seat | Listener) -> Coroutine[Any, Any, None] | None:
        """End a seat; return what tells the server, if it has to be told."""
        farewell = seat.farewell()
        self._roster.leave(seat, None)
        return farewell

    async def ask(
        self,
        id: Id,
        message: Message,
        *,
        timeout: float | None = None,
        repeat: bool = False,
    ) -> Any:
        """Send one request, and return the value of its ``Reply``.

        Args:
            id: What the reply will name: of ``new_id``, or the protocol's own.
            message: The request.
            timeout: Seconds for all of it, by default those of the channel. Without an
                open connection the request waits for one as long.
            repeat: Whether it may be executed twice: it then goes out again when its
                connection ends.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in time.
            FeedError: The server answered with an error.
            ResilientWSError: The session has ended.

        Cancellation:
            The answer is no longer expected; the server may carry the request out.
        """
        (outcome,) = await self.call([id], message, timeout=timeout, repeat=repeat)
        return value_of(outcome)

    async def call(
        self,
        ids: Sequence[Id],
        message: Message,
        *,
        timeout: float | None = None,
        repeat: bool = False,
    ) -> list[Outcome]:
        """Send requests in one message; return the value and the error of each.

        Without an open connection they wait for the next, as long as their time lasts.

        Args:
            ids: What the replies will name: of ``new_id``, or the protocol's own.
            message: The requests.
            timeout: Seconds for all of it, by default those of the channel.
            repeat: Whether they may be executed twice: they then go out again when
                their connection ends.

        Returns:
            For each request its value and ``None``, or ``None`` and its error: the
            server's, ``CallLost`` or ``CallTimeout``.

        Raises:
            ResilientWSError: The session has ended.

        Cancellation:
            The answers are no longer expected; the server may carry the requests out.
        """
        self._check()
        wait = self._timeout if timeout is None else timeout
        return await self._calls.call(ids, message, timeout=wait, repeat=repeat)

    async def send(self, message: Message, *, timeout: float | None = None) -> None:
        """Send a message that has no answer, on the open connection or the next.

        Raises:
            CallTimeout: No connection was open within ``timeout`` seconds (by default
                those of the channel); the message was not sent.
            ResilientWSError: The session has ended.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        self._check()
        wait = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(wait):
                await self._links.send(message)
        except TimeoutError:
            text = f"No connection was open within {wait:g} s; nothing was sent."
            raise CallTimeout(text, after=wait, maybe_executed=False) from None

    def statistics(self) -> ChannelStatistics:
        """Return a snapshot of the counters of the channel."""
        counted = self._roster.statistics()
        if not self._begun:
            return counted
        counts = self._oddities.counts
        return attrs.evolve(
            counted,
            items=self._router.items,
            unknown=counts["unknown"],
            malformed=counts["malformed"],
            unexpected=counts["unexpected"],
            calls_in_flight=len(self._calls),
            outgoing_dropped=self._outgoing.dropped,
        )

    def new_id(self) -> int:
        """Return a number that no other request of this channel has."""
        return next(self._ids)
