"""The one consumer of a session, which hands each message to whoever asked for it.

Rules: one task, the pump, reads the session's stream, and never waits for a consumer, a
call or the transport. What came before a drop is routed before the drop is told. The
channel owns every task of its subscriptions, and ends them when it is left.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from resilient_ws.events import SessionClosed
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.calls import Calls, value_of
from resilient_ws.feeds.errors import CallTimeout
from resilient_ws.feeds.flow import Flow
from resilient_ws.feeds.heartbeat import Heartbeat
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.listener import Listener
from resilient_ws.feeds.oddities import Oddities
from resilient_ws.feeds.outgoing import Outgoing
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.protocol import Everything, Plain
from resilient_ws.feeds.pump import Pump
from resilient_ws.feeds.registry import Registry
from resilient_ws.feeds.replacing import Replacements
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.routing import Router
from resilient_ws.feeds.seat import Seat
from resilient_ws.feeds.source import Source
from resilient_ws.feeds.subscription import Subscription
from resilient_ws.state import State


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from resilient_ws.connection import Connection
    from resilient_ws.feeds.calls import Id, Outcome
    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.protocol import Ended, Protocol, Reset
    from resilient_ws.feeds.source import Gap
    from resilient_ws.protocol.message import Message
    from resilient_ws.session import Session


T = TypeVar("T")
C = TypeVar("C")


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
        # In the order in which they were taken; a name may be given twice.
        self._seats: dict[Seat | Listener, None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
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
        self._links = Links(self._session)
        self._calls = Calls(self._links, max_in_flight=self._max_in_flight)
        self._registry = Registry(self._early, clock)
        self._pace = Pace(self._rate)
        self._outgoing = Outgoing()
        self._oddities = Oddities(repr(self._session), clock, self._report)
        replacements = self._replacements = Replacements(
            self._session,
            self._protocol,
            self._links,
            self._spawn,
            settle=self._outgoing.settled,
            complain=lambda what: self._oddities.count("malformed", what),
        )
        self._heartbeat = Heartbeat(
            self._session,
            self._protocol,
            self._outgoing,
            self._spawn,
            dead=replacements.replace,
        )
        self._router = Router(
            self._protocol,
            registry=self._registry,
            calls=self._calls,
            oddities=self._oddities,
            on_ended=self._ended,
            on_rotate=lambda rotate: replacements.replace(rotate.reason, rotate.url),
            on_reset=self._reset,
            send=self._send,
        )
        pump = Pump(
            self._session,
            route=self._router.message,
            on_open=self._opened,
            on_lost=self._lost,
            on_overflow=self._overflowed,
        )
        for work in (self._read(pump), self._outgoing.run()):
            self._tasks.add(self._spawn(work))

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
        self._heartbeat.stop()
        self._links.ended()
        end = SessionClosed() if failure is None else failure
        self._links.finish(end)
        self._calls.finish(end)
        for seat in tuple(self._seats):
            seat.finish(failure)
        self._seats.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _login(self, connection: Connection) -> None:
        """Log in on a new connection: the ``on_open`` of the session."""
        left = await self._protocol.login(connection, self._resume)
        self._left = connection.epoch, left or ()
        self._resume = True

    # What the pump and the router tell.

    def _opened(self, epoch: int) -> None:
        link = self._links.opened(epoch)
        requests = self._requests(link)
        self._registry.opened()
        # Those that the server refused are not asked for again.
        self._seats = {seat: None for seat in self._seats if not seat.ended}
        for seat in tuple(self._seats):
            seat.opened(requests)
        self._heartbeat.start(link)
        if self._left[0] == epoch:
            for message in self._left[1]:
                self._router.message(message)
            self._left = 0, ()

    def _lost(self) -> None:
        link = self._links.ended()
        self._heartbeat.stop()
        self._replacements.forget()
        if link is None:
            return
        self._calls.lost(link)
        self._registry.clear()
        for seat in self._seats:
            seat.lost()

    def _overflowed(self) -> None:
        """Take note that messages were discarded: answers, or items, or both."""
        self._calls.lost()
        for seat in self._seats:
            seat.interrupted()

    def _ended(self, ended: Ended) -> None:
        seat = next((s for s in self._seats if s.has(ended.key)), None)
        if seat is None:
            self._oddities.count("unexpected", "the end of no subscription")
        elif ended.again:
            seat.renew()
        else:
            self._leave(seat, ended.because)

    def _reset(self, reset: Reset) -> None:
        self._resume = reset.resume
        self._replacements.reset(reset.reason)

    def _send(self, message: Message | Awaitable[Message | None]) -> None:
        """Send a message on this connection, at once or when it is made."""
        link = self._links.link
        if link is None:
            return
        if isinstance(message, str | bytes):
            self._outgoing.put(link, message)
        else:
            self._tasks.add(self._spawn(self._send_made(link, message)))

    async def _send_made(self, link: Link, made: Awaitable[Message | None]) -> None:
        message = await made
        if message is not None:
            self._outgoing.put(link, message)

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
        seat, subscription = self._take_seat(
            source, after=after, buffer=buffer, refill=overflow == "refill"
        )
        link = self._links.link
        if link is not None:
            seat.opened(self._requests(link))
        try:
            failure = await seat.granted
        except asyncio.CancelledError:
            self._leave(seat, None)
            raise
        if failure is not None:
            self._leave(seat, failure)
            raise failure
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
        name = str(next(self._names))
        items: Buffer[Any] = Buffer(buffer)
        flow = Flow(name, _ALL, items, after=None, refill=False, spawn=self._spawn)
        seat = Listener(select, flow, items, self._router.listeners)
        link = self._links.link
        if link is not None:
            seat.opened(self._requests(link))
        return self._seated(name, seat, items, flow)

    def _take_seat(
        self, source: Source[T, C], *, after: C | None, buffer: int, refill: bool
    ) -> tuple[Seat, Subscription[T]]:
        name = source.name or str(next(self._names))
        items: Buffer[T | Gap] = Buffer(buffer)
        flow = Flow(name, source, items, after=after, refill=refill, spawn=self._spawn)
        seat = Seat(
            source,
            flow,
            items,
            registry=self._registry,
            pace=self._pace,
            spawn=self._spawn,
        )
        return seat, self._seated(name, seat, items, flow)

    def _seated(
        self,
        name: str,
        seat: Seat | Listener,
        items: Buffer[T | Gap],
        flow: Flow[T, Any],
    ) -> Subscription[T]:
        self._seats[seat] = None

        async def close() -> None:
            if not seat.ended:
                await seat.tell()
                self._leave(seat, None)

        return Subscription(name, items, flow, close)

    def _leave(self, seat: Seat | Listener, failure: Exception | None) -> None:
        seat.finish(failure)
        self._seats.pop(seat, None)

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
        wait = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(wait):
                await self._links.send(message)
        except TimeoutError:
            text = f"No connection was open within {wait:g} s; nothing was sent."
            raise CallTimeout(text, after=wait, maybe_executed=False) from None

    def new_id(self) -> int:
        """Return a number that no other request of this channel has."""
        return next(self._ids)
