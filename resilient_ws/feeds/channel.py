"""The one consumer of a session, which hands each message to whoever asked for it.

Rules: one task, the pump, reads the session's stream, and never waits for a consumer, a
call or the transport. What came before a drop is routed before the drop is told. The
channel owns every task of its subscriptions, and ends them when it is left.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from resilient_ws import State
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.calls import value_of
from resilient_ws.feeds.errors import CallTimeout, renewed
from resilient_ws.feeds.flow import Flow
from resilient_ws.feeds.login import Login
from resilient_ws.feeds.protocol import Everything
from resilient_ws.feeds.source import Source
from resilient_ws.feeds.statistics import ChannelStatistics
from resilient_ws.feeds.subscription import Subscription
from resilient_ws.feeds.switchboard import ChannelOptions, Switchboard
from resilient_ws.feeds.tasks import Tasks
from resilient_ws.policy._validate import (
    check_callables,
    check_timeout,
    require,
    whole_number,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from resilient_ws import Session
    from resilient_ws.feeds.calls import Id, Outcome, RequestMessage
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.protocol import Protocol, Rotate
    from resilient_ws.feeds.roster import Member
    from resilient_ws.feeds.seat import Seat, Stream
    from resilient_ws.feeds.source import Gap
    from resilient_ws.protocol.message import Message


T = TypeVar("T")
C = TypeVar("C")


_OVERFLOWS: Final = ("refill", "gap")
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
        TypeError: A value of another type; ``session`` is a URL, say, or ``protocol``
            a class.
        ValueError: A number is out of range.
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
        if isinstance(session, str):
            raise TypeError("session must be a session, not a URL: pass connect(url).")
        if not isinstance(getattr(session, "state", None), State):
            raise TypeError("session must be what connect() returned.")
        if isinstance(protocol, type):
            raise TypeError(f"protocol is not a class: {protocol.__name__}().")
        if protocol is not None and not callable(getattr(protocol, "route", None)):
            raise TypeError("protocol must be a Protocol: derive it from Plain.")
        self._session = session
        self._protocol: Protocol = Everything() if protocol is None else protocol
        self._options = ChannelOptions(
            rate=rate,
            early=early,
            timeout=timeout,
            max_in_flight=max_in_flight,
            on_rotate=on_rotate,
            report=report,
        )
        self._ids = itertools.count(1)
        self._names = itertools.count(1)
        self._tasks = Tasks(session)
        self._login = Login(self._protocol)
        # Where everything passes, from the moment when the channel is entered.
        self._board: Switchboard | None = None
        self._owns = session.state is State.IDLE
        if self._owns:
            session.on_open(self._login)
        elif self._login.is_needed:
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
        board = self._board = Switchboard(
            self._session,
            self._protocol,
            self._login,
            self._options,
            tasks=self._tasks,
            new_id=self.new_id,
        )
        board.start()
        return self

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
            if self._board is not None:
                self._board.finish(None)
            await self._tasks.end()
        finally:
            if self._owns:
                await self._session.__aexit__(exc_type, exc, traceback)

    # Using.

    @property
    def session(self) -> Session:
        """The session that the channel reads."""
        return self._session

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
        board = self._entered()
        require(source, Source, "source", "a Source")
        whole_number("buffer", buffer, at_least=1)
        if overflow not in _OVERFLOWS:
            raise ValueError("overflow must be 'refill' or 'gap'.")
        name = source.name or str(next(self._names))
        items: Buffer[T | Gap] = Buffer(buffer, board.turns)
        refill = overflow == "refill"
        flow = Flow(name, source, items, after=after, refill=refill, spawn=self.spawn)
        seat = board.seat(source, flow, items.finish)
        try:
            failure = await seat.granted
        except asyncio.CancelledError:
            farewell = board.vacate(seat)
            if farewell is not None:
                _ = self.spawn(farewell)
            raise
        if failure is not None:
            raise renewed(failure)
        return Subscription(name, items, flow, lambda: _leave(board, seat))

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
        board = self._entered()
        check_callables(select=select)
        whole_number("buffer", buffer, at_least=1)
        name = str(next(self._names))
        items: Buffer[Any] = Buffer(buffer, board.turns)
        flow = Flow(name, _ALL, items, after=None, refill=False, spawn=self.spawn)
        listener = board.listener(select, flow, items)
        return Subscription(name, items, flow, lambda: _leave(board, listener))

    # For what makes more of a stream than a subscription does, as ``Books``.

    def attach(
        self,
        source: Source[Any, Any],
        stream: Stream,
        end: Callable[[Exception | None], None],
    ) -> Seat:
        """Subscribe on each connection, and tell a stream what comes of it.

        Args:
            source: How to subscribe.
            stream: Gets the items, and is told when the subscription comes and goes.
            end: Called with what ended the subscription or the channel, ``None`` where
                that was no error.

        Raises:
            ResilientWSError: The session has ended.
        """
        return self._entered().seat(source, stream, end)

    async def detach(self, seat: Seat) -> None:
        """End what was attached, and tell the server; do nothing if it has ended.

        Cancellation:
            It has ended; the server may not have been told.
        """
        if self._board is not None:
            await _leave(self._board, seat)

    def watch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call a function with what ends the channel, before its streams are ended.

        Raises:
            ResilientWSError: The session has ended.
        """
        self._entered().watch(watcher)

    def unwatch(self, watcher: Callable[[Exception | None], None]) -> None:
        """Call that function no more."""
        if self._board is not None:
            self._board.unwatch(watcher)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the channel."""
        return self._tasks.spawn(work)

    def replace(self, reason: str) -> None:
        """Replace the open connection, because what the server sends on it is no good.

        Replacements that follow each other soon wait, up to half a minute.

        Args:
            reason: Why, for the log.
        """
        if self._board is not None:
            self._board.replace(reason)

    def complain(self, what: str) -> None:
        """Count a message that makes no sense as malformed, and tell of it.

        As for what ``route`` finds odd: in ``statistics``, to ``report``, and at most
        once a minute in the log.

        Args:
            what: What is wrong with it, without its data.
        """
        if self._board is not None:
            self._board.complain(what)

    def warn(self, kind: str, text: str, *values: object) -> None:
        """Log a warning, at most one of its kind a minute.

        Args:
            kind: The kind.
            text: The warning, with places for the values.
            values: What to put there.
        """
        if self._board is not None:
            self._board.warn(kind, text, *values)

    # Requests.

    async def ask(
        self,
        id: Id,
        message: RequestMessage,
        *,
        timeout: float | None = None,
        repeat: bool = False,
    ) -> Any:
        """Send one request, and return the value of its ``Reply``.

        Args:
            id: What the reply will name: of ``new_id``, or the protocol's own.
            message: The request; or a function that returns it each time it goes out,
                given whether the server may have got it before.
            timeout: Seconds for all of it, by default those of the channel. Without an
                open connection the request waits for one as long.
            repeat: Whether it may be executed twice: it then goes out again when its
                connection ends.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in time.
            FeedError: The server answered with an error.
            ResilientWSError: The session has ended.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            The answer is no longer expected; the server may carry the request out.
        """
        (outcome,) = await self.call([id], message, timeout=timeout, repeat=repeat)
        return value_of(outcome)

    async def call(
        self,
        ids: Sequence[Id],
        message: RequestMessage,
        *,
        timeout: float | None = None,
        repeat: bool = False,
    ) -> list[Outcome]:
        """Send requests in one message; return the value and the error of each.

        Without an open connection they wait for the next, as long as their time lasts.

        Args:
            ids: What the replies will name: of ``new_id``, or the protocol's own.
            message: The requests; or a function, as for ``ask``.
            timeout: Seconds for all of it, by default those of the channel.
            repeat: Whether they may be executed twice: they then go out again when
                their connection ends.

        Returns:
            For each request its value and ``None``, or ``None`` and its error: the
            server's, ``CallLost`` or ``CallTimeout``.

        Raises:
            ResilientWSError: The session has ended.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            The answers are no longer expected; the server may carry the requests out.
        """
        board = self._entered()
        check_timeout(timeout)
        wait = self._options.timeout if timeout is None else timeout
        return await board.calls.call(ids, message, timeout=wait, repeat=repeat)

    async def send(self, message: Message, *, timeout: float | None = None) -> None:
        """Send a message that has no answer, on the open connection or the next.

        Raises:
            CallTimeout: No connection was open within ``timeout`` seconds (by default
                those of the channel); the message was not sent.
            ResilientWSError: The session has ended.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        board = self._entered()
        check_timeout(timeout)
        wait = self._options.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(wait):
                await board.links.send(message)
        except TimeoutError:
            text = f"No connection was open within {wait:g} s; nothing was sent."
            raise CallTimeout(text, after=wait, maybe_executed=False) from None

    def statistics(self) -> ChannelStatistics:
        """Return a snapshot of the counters of the channel."""
        board = self._board
        return ChannelStatistics() if board is None else board.statistics()

    def new_id(self) -> int:
        """Return a number that no other request of this channel has."""
        return next(self._ids)

    def _entered(self) -> Switchboard:
        """Return where everything passes.

        Raises:
            RuntimeError: The channel was not entered.
            ResilientWSError: It has ended.
        """
        if self._board is None:
            raise RuntimeError(_NOT_ENTERED)
        if self._board.ended is not None:
            raise renewed(self._board.ended)
        return self._board


async def _leave(board: Switchboard, member: Member) -> None:
    """End a subscription or a listener, and tell the server."""
    farewell = board.vacate(member)
    if farewell is not None:
        await farewell
