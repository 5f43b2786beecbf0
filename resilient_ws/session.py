"""Define ``connect()`` and ``Session``, which users call.

Rules: Nothing runs before the ``async with``. A session belongs to the loop on which it
was entered. Each method checks that and passes the call to the part that does the work.
A traceback shows no frame of ours but the method's, and no variable of that frame holds
a secret, because error trackers record the variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from typing import TYPE_CHECKING, TypeVar, cast, overload

import attrs

from resilient_ws.errors import ConnectionLost, OpenTimeout, ResilientWSError
from resilient_ws.eventloop.affinity import Home
from resilient_ws.events import (
    ConnectionDropped,
    Event,
    MessageReceived,
    SessionClosed,
)
from resilient_ws.inbox.iteration import Iteration
from resilient_ws.outbox.delivery import Delivery
from resilient_ws.outbox.payload import check_message_id
from resilient_ws.policy._validate import (
    check_duration,
    require,
    require_callable,
    whole_number,
)
from resilient_ws.policy.tracebacks import NoFrames, without_frames
from resilient_ws.protocol.close import check_close
from resilient_ws.settings import make_settings
from resilient_ws.state import State
from resilient_ws.statistics import Statistics
from resilient_ws.supervisor.commands import Close, Replace, RetryNow
from resilient_ws.supervisor.dispatcher import Dispatcher
from resilient_ws.supervisor.loop import Supervisor


if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import Literal, Self

    from resilient_ws.connection import Connection, OnOpen
    from resilient_ws.inbox import Inbox, Interruption
    from resilient_ws.limiter import ConnectLimiter
    from resilient_ws.outbox.payload import Sendable
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.policy.access import Access
    from resilient_ws.policy.backoff import Reconnect
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.policy.timeouts import Timeouts
    from resilient_ws.protocol.close import Close as CloseRecord
    from resilient_ws.protocol.message import Message
    from resilient_ws.settings import (
        Headers,
        HeadersCallable,
        Settings,
        UrlCallable,
    )
    from resilient_ws.transport.client import ClientSession

E = TypeVar("E", bound=Event)
R = TypeVar("R")
C = TypeVar("C", bound="Callable[..., object]")


def connect(
    url: str | Sequence[str] | UrlCallable,
    *,
    headers: Headers | HeadersCallable | None = None,
    subprotocols: Sequence[str] = (),
    origin: str | None = None,
    compression: Literal["deflate"] | None = "deflate",
    ssl: ssl_module.SSLContext | Literal[True] = True,
    proxy: str | None = None,
    http: ClientSession | None = None,
    on_open: OnOpen | None = None,
    wait_open: bool | float = 60.0,
    reconnect: Reconnect | None = None,
    limiter: ConnectLimiter | None = None,
    liveness: Liveness | None = None,
    timeouts: Timeouts | None = None,
    outbox: Outbox | None = None,
    inbox: Inbox | None = None,
    access: Access | None = None,
    max_message_size: int | None = 4 * 1024 * 1024,
    name: str | None = None,
) -> Session:
    """Return a session with a WebSocket server that outlives its connections.

    Use it as ``async with connect(...) as session``; nothing runs before.

    Args:
        url: ``wss://`` or ``ws://`` (``ws`` only to this machine, unless ``access``
            allows more); or several, to fail over between; or a callable, sync or
            async, that takes an ``Attempt`` and returns one, for a fresh URL or token
            with each attempt. Path and query are sent byte for byte; host names are
            encoded by IDNA 2008.
        headers: Sent with the handshake; or a callable, sync or async, that takes an
            ``Attempt`` and returns them. The session adds the cookies that the server
            set to your own ``Cookie``; yours win where both have a name. It keeps them
            until it ends and sends them only to the host (a name or an address) that
            set them, at any port (RFC 6265).
        subprotocols: Offered to the server, best first (RFC 6455 §1.9).
        origin: The Origin header, for servers that ask for it.
        compression: ``"deflate"`` (default) offers permessage-deflate (RFC 7692); where
            the server agrees, messages of 256 bytes and more are sent compressed.
            ``None`` does not offer it.
        ssl: A context for ``wss://``; by default the system's trusted issuers.
        proxy: An ``http``, ``https``, ``socks4``, ``socks5`` or ``socks5h`` URL, or
            ``"env"`` to read the environment, which is not read otherwise. SOCKS
            needs the extra ``socks``. ``NO_PROXY`` may list domains (with all their
            subdomains), addresses and networks, each with or without a port, or ``*``.
        http: Your own ``aiohttp.ClientSession`` to dial with; it is never closed, and
            its headers, cookies and authorization are sent along. Its own settings
            then decide how large a response may be and how names are resolved.
        on_open: ``async`` hook that gets each new ``Connection`` before anything else
            may use it: authenticate and subscribe here. If it raises, the attempt has
            failed; if it raises ``Fatal``, the session ends.
        wait_open: Seconds that entering waits for the first open connection (default
            60) before it raises the last error; ``True`` waits for ever; ``False``
            enters at once, offline.
        reconnect: When to dial again, and when to give up: ``Reconnect()``.
        limiter: A limit on dials that sessions share: ``ConnectLimiter(rate, per)``.
        liveness: How a dead link is noticed: ``Liveness()``.
        timeouts: Seconds for opening, restoring, closing: ``Timeouts()``.
        outbox: How messages wait until they can be sent: ``Outbox()``.
        inbox: How messages wait until you read them: ``Inbox()``.
        access: Where the session may connect to: ``Access()``.
        max_message_size: Bytes of the largest message accepted (default 4 MiB);
            ``None`` for no limit. A larger one ends the connection with 1009.
        name: What logs, events and ``repr`` call this session; by default its first
            endpoint, without secrets.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is wrong; the message says which, and what is allowed.
        SecurityError: ``access`` does not allow the URL.
    """
    with NoFrames():
        settings = make_settings(
            url,
            access=access,
            compression=compression,
            headers=headers,
            http=http,
            inbox=inbox,
            limiter=limiter,
            liveness=liveness,
            max_message_size=max_message_size,
            name=name,
            on_open=on_open,
            origin=origin,
            outbox=outbox,
            proxy=proxy,
            reconnect=reconnect,
            ssl=ssl,
            subprotocols=subprotocols,
            timeouts=timeouts,
            wait_open=wait_open,
        )
    return Session(settings)


class Session:
    """A logical link to a WebSocket server; connections come and go beneath it.

    ``connect()`` makes it. It belongs to the loop on which it was entered, and it runs
    until it is closed. A session that was entered and then dropped, so that nothing
    refers to it any more, ends with a ``ResourceWarning``. An iterator over it and a
    callback that refers to it keep it alive.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dispatcher = Dispatcher(settings.name)
        self._supervisor: Supervisor | None = None
        self._pulled = False
        self._entering = False
        self._closed_unentered = False

    def __repr__(self) -> str:
        """Show the name, the state, the epoch and the URL, without secrets."""
        name = self._settings.given_name
        called = "" if name is None else f"{name!r} "
        return (
            f"<resilient_ws.Session {called}{self.state.value}, epoch {self.epoch}, "
            f"{self._settings.where}>"
        )

    def __del__(self) -> None:
        """End a session that nobody can close any more, and warn."""
        supervisor = self._supervisor
        # The session's tasks refer to the supervisor and not to the session, so this
        # method is called while they still run.
        if supervisor is not None and supervisor.forsake():
            warnings.warn(
                f"{self!r} was dropped without close(), so it ends: use "
                "'async with connect(...) as session', or await session.close().",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    # Entering and leaving.

    async def __aenter__(self) -> Self:
        """Start, and wait for the first open connection as ``wait_open`` says.

        Raises:
            ResilientWSError: No connection opened in time; this is the last error.
            RuntimeError: The session was entered or closed before; or its limiter
                belongs to another loop.
            StoreError: The outbox's store is in use, damaged, or not a store.

        Cancellation:
            Ends the session at once; nothing is left behind.
        """
        with NoFrames():
            await self._enter()
        return self

    async def _enter(self) -> None:
        """Start, and wait as ``wait_open`` says."""
        if self._entering or self._closed_unentered:
            msg = "A session is entered once; make a new one with connect()."
            raise RuntimeError(msg)
        supervisor = await self._prepared()
        self._supervisor = supervisor
        supervisor.start()
        wait = self._settings.wait_open
        if wait is False:
            return
        scope = asyncio.timeout(None if wait is True else wait)
        try:
            async with scope:
                await supervisor.life.wait_until(State.OPEN)
        except asyncio.CancelledError:
            await self._abort(supervisor)
            raise
        except Exception:
            if not scope.expired():
                await self._ended(supervisor)
                raise
        else:
            return
        error = self._not_open(supervisor, wait)
        supervisor.fail(error)
        await self._ended(supervisor)
        raise error

    def _not_open(self, supervisor: Supervisor, wait: float) -> ResilientWSError:
        """Return why no connection opened within ``wait`` seconds."""
        error = supervisor.journal.last_error
        if isinstance(error, ResilientWSError):
            return error
        # There was no error, or on_open raised an error of its own, which does not
        # tell the reader that it came from on_open.
        why = "" if error is None else f": on_open raised {type(error).__name__}"
        limiter = self._settings.limiter
        queue = ""
        if limiter is not None and limiter.waiting:
            queue = f" Attempts wait for a slot of {limiter!r}: raise wait_open."
        msg = (
            f"No open connection to {self._settings.where} within {wait:g} s "
            f"(wait_open){why}.{queue}"
        )
        timeout = OpenTimeout(msg, kind="open", after=float(wait))
        timeout.__cause__ = error
        return timeout

    async def _prepared(self) -> Supervisor:
        """Return a supervisor that is ready to start."""
        supervisor = Supervisor(self._settings, self._dispatcher, home=Home.here())
        self._entering = True
        try:
            await supervisor.prepare()
        except BaseException:
            self._closed_unentered = True
            raise
        if self._closed_unentered:
            await supervisor.outbox.close()
            raise SessionClosed
        return supervisor

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session; drain the outbox first, unless the block raised.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        supervisor = self._entered()
        supervisor.close(Close(drain=None if exc_type is None else 0))
        await self._ended(supervisor)

    async def _ended(self, supervisor: Supervisor) -> None:
        """Wait for the session's end; abort the session when this is cancelled."""
        try:
            await supervisor.wait()
        except asyncio.CancelledError:
            await self._abort(supervisor)
            raise

    async def _abort(self, supervisor: Supervisor) -> None:
        """Abort and wait for the end, however often this task is cancelled."""
        supervisor.abort()
        while not supervisor.done:
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor.wait()

    async def close(
        self, code: int = 1000, reason: str = "", drain: float | None = None
    ) -> CloseRecord | None:
        """End the session; safe to call again, from anywhere, at any time.

        With an open connection, the session drains its outbox, waits for confirmations
        where ``Outbox.confirm`` asks for them (at most half of the time), exchanges
        close frames and waits for the server to end the connection. It has
        ``timeouts.close`` plus ``drain`` seconds for all of that, and keeps a fifth of
        ``timeouts.close`` for the closing handshake; after them it aborts (RFC 6455
        §7). In a callback or in ``on_open``, this starts closing and returns.

        Args:
            code: The close code, 1000 by default.
            reason: The close reason, at most 123 bytes of UTF-8.
            drain: Seconds that the outbox gets beyond ``timeouts.close``; with 0,
                messages that still wait are not sent.

        Returns:
            The record of the closing handshake, or ``None`` if there was none.

        Raises:
            ValueError: The code may not be sent, or the reason is too long.

        Cancellation:
            Ends only this wait; the session still closes.
        """
        require(code, int, "code", "a whole number, such as 1000")
        require(reason, str, "reason", "a str")
        check_close(code, reason)
        if drain is not None:
            check_duration("drain", drain)
        if self._supervisor is None:
            self._closed_unentered = True
            return None
        supervisor = self._entered()
        supervisor.close(Close(code=code, reason=reason, drain=drain))
        if not supervisor.owns(asyncio.current_task()):
            await supervisor.wait()
        return supervisor.journal.close_record

    async def wait_closed(self) -> None:
        """Wait for the end of the session.

        Raises:
            Exception: The error that ended it, unless ``close`` did.

        Cancellation:
            Safe.
        """
        if self._closed_unentered:
            return
        supervisor = self._entered()
        if supervisor.owns(asyncio.current_task()):
            msg = (
                "wait_closed() inside on_open or a callback would wait for itself: "
                "call it in another task."
            )
            raise RuntimeError(msg)
        await supervisor.wait()
        if supervisor.life.failure is not None:
            with NoFrames():
                raise supervisor.life.failure

    async def wait_until(self, state: State) -> None:
        """Wait until the session is in ``state``.

        Raises:
            SessionClosed: The session was closed and cannot reach the state any more.
            Exception: An error ended the session, likewise.

        Cancellation:
            Safe.
        """
        require(state, State, "state", "a State, such as State.OPEN")
        supervisor = self._entered()
        if state is not supervisor.life.state:
            supervisor.hook.check_outside()
        with NoFrames():
            await supervisor.life.wait_until(state)

    # Sending.

    async def send(
        self,
        data: Sendable,
        *,
        ttl: float | None = None,
        message_id: str | None = None,
        only_if_open: bool = False,
        epoch: int | None = None,
        confirm: Literal["write"] | None = None,
    ) -> Delivery:
        """Accept one message for sending: ``str`` as text, all else as binary.

        While the session is open, the message leaves at once or waits until the
        transport has room. Otherwise it waits in the outbox; when that is full,
        ``Outbox.overflow`` decides.

        Args:
            data: The message.
            ttl: Seconds after which the message is too old to be written; by default,
                ``Outbox.ttl``.
            message_id: Your name for the message (at most 1,024 characters). Where
                ``Outbox.confirm`` is a callable, acknowledgements refer to the message
                by it, and it tells a repeat from a new message.
            only_if_open: Drop the message at once unless the session is open, and drop
                it when the connection ends before it is written.
            epoch: The only connection on which the message may go out, as
                ``session.epoch`` counts them; on any other it is dropped. Give it with
                an acknowledgement, which is of no use on a later connection.
            confirm: ``"write"`` for a message that the server never acknowledges: it
                counts as delivered once written, whatever ``Outbox.confirm`` says.

        Returns:
            The message's delivery: await it to learn what became of the message.

        Raises:
            GaveUp: The session gave up. Any other error that ended it is raised too.
            MessageTooBig: The message is larger than ``Outbox.max_bytes``.
            OutboxFull: There is no room, and ``Outbox.overflow`` is ``"raise"``.
            SessionClosed: The session is closed.
            StoreError: The store could not keep the message; the session goes on.
            TypeError: ``data`` has a type that cannot be sent.
            ValueError: ``message_id`` is missing, and ``Outbox.confirm`` needs it; or
                UTF-8 cannot encode it or ``data``; or ``epoch`` or ``confirm`` is
                wrong.

        Cancellation:
            Safe: a cancelled ``send`` was not accepted and is never transmitted. With
            a durable store, cancelling may wait until the store has deleted its row.
        """
        try:
            outbox = self._entered().outbox
            if ttl is not None:
                check_duration("ttl", ttl)
            if message_id is not None:
                check_message_id(message_id)
            if epoch is not None or confirm is not None or only_if_open:
                _check_terms(epoch, confirm)
                epoch = outbox.epoch if epoch is None and only_if_open else epoch
            accepted = outbox.send(data, ttl, message_id, epoch, confirm)
            return accepted if isinstance(accepted, Delivery) else await accepted
        except Exception as failure:  # noqa: BLE001 - raised anew, without our frames
            # This frame stays in the traceback, so it must not hold the message.
            del data
            why = without_frames(failure)
        # NoFrames does the same, but would cost each message two calls.
        try:
            raise why
        finally:
            del why

    def outstanding(self) -> list[Delivery]:
        """Return the messages that are neither delivered nor lost yet, in order.

        Written messages that wait for their confirmation come first (there are none
        where ``Outbox.confirm`` is ``"write"``). Messages that wait to be written
        follow, those that an earlier session left in a durable store included.
        """
        return (
            []
            if self._supervisor is None
            else self._supervisor.outbox.traffic.outstanding()
        )

    # Receiving.

    async def receive(self) -> Message:
        """Return the next message: ``str`` for text, ``bytes`` for binary.

        Raises:
            GaveUp: The session gave up, and every message was taken. Any other error
                that ended it is raised too.
            RuntimeError: Another consumer waits, or this was called in ``on_open``.
            SessionClosed: The session is closed, and every message was taken.

        Cancellation:
            Safe: no message is lost.
        """
        inbox = self._consume().inbox
        if len(inbox.reading) > 1:
            return inbox.reading.pop()
        message: Message | None = await inbox.first(inbox.take_nowait)
        if message is None:
            raise self._entered().life.ended()
        return message

    async def receive_many(self) -> list[Message]:
        """Return all waiting messages, in order; wait for the first if there is none.

        Use it for streams of many small messages: it hands over the inbox's own list,
        so a message costs next to nothing. The list ends where messages may be missing,
        and the next call goes on from there, so all messages of a list came on one
        connection, ``message_epoch``. The inbox limits the length of the list, to
        ``Inbox.max_messages`` and what a connection brought as it ended.

        Raises:
            GaveUp: The session gave up, and every message was taken. Any other error
                that ended it is raised too.
            RuntimeError: Another consumer waits, or this was called in ``on_open``.
            SessionClosed: The session is closed, and every message was taken.

        Cancellation:
            Safe: no message is lost.
        """
        inbox = self._consume().inbox
        messages: list[Message] | None = await inbox.first(inbox.take_run)
        if messages is None:
            raise self._entered().life.ended()
        return messages

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over messages, across reconnects, until the session ends.

        Raises:
            GaveUp: The session gave up, and this was the last message. Any other error
                that ended it is raised too. After ``close``, nothing is raised.

        Cancellation:
            Safe: no message is lost, and iterating may go on.
        """
        supervisor = self._consume()
        inbox, home = supervisor.inbox, supervisor.home
        iteration = Iteration(inbox, home, inbox.take_nowait, self)
        return cast("AsyncIterator[Message]", iteration)

    @overload
    def with_interruptions(
        self, *, drops: Literal[False] = ...
    ) -> AsyncIterator[Message | Interruption]: ...
    @overload
    def with_interruptions(
        self, *, drops: bool
    ) -> AsyncIterator[Message | Interruption | ConnectionDropped]: ...
    def with_interruptions(
        self, *, drops: bool = False
    ) -> AsyncIterator[Message | Interruption | ConnectionDropped]:
        """Iterate as ``async for`` does, and show where messages may be missing.

        An ``Interruption`` follows the last message of a connection that ended and
        precedes the first of the next. Another stands where the inbox discarded
        messages. It arrives once the next connection is open, and its ``epoch`` names
        that connection; messages before the first one belong to ``message_epoch``.

        Args:
            drops: Yield a ``ConnectionDropped`` too, as soon as a connection is lost
                and its messages were read. An application that waits for a response or
                acts on a feed needs to know then, not when the next connection opens.
                At most the newest 100 wait to be read, and only the newest one before
                the first call; the ``Interruption`` that follows counts all of them.

        Raises:
            GaveUp: The session gave up, and this was the last message. Any other error
                that ended it is raised too. After ``close``, nothing is raised.

        Cancellation:
            Safe: nothing is lost, and iterating may go on.
        """
        require(drops, bool, "drops", "True or False")
        supervisor = self._consume()
        inbox, home = supervisor.inbox, supervisor.home
        if not drops:
            return Iteration(inbox, home, inbox.take_message_or_hole, self)
        inbox.keep_drops()
        return Iteration(inbox, home, inbox.take_item, self)

    def _consume(self) -> Supervisor:
        """Return the supervisor, unless the messages go to a callback."""
        supervisor = self._entered()
        if not self._pulled and self._dispatcher.consumes:
            msg = (
                "Messages go to the callback for MessageReceived; a session has one "
                "consumer, so use either callbacks or receive() and iteration."
            )
            raise RuntimeError(msg)
        if supervisor.hook.task is not None:
            supervisor.hook.check_outside()
        self._pulled = True
        return supervisor

    # Watching and steering.

    @overload
    def on(self, event: type[E]) -> Callable[[Callable[[E], R]], Callable[[E], R]]: ...
    @overload
    def on(self, event: type[E], callback: Callable[[E], R]) -> Callable[[E], R]: ...
    def on(
        self, event: type[E], callback: Callable[[E], object] | None = None
    ) -> object:
        """Register a callback, sync or async: ``@session.on(ConnectionDropped)``.

        Callbacks run one at a time, in the order of events, and never hold up the
        reader. Where ``MessageReceived`` has a callback, it gets the messages received
        before an event first. An error that a callback raises is logged and reported as
        ``HandlerFailed``; ``Fatal`` ends the session. When the session ends, the events
        that still wait get one second. After it, the messages among them are dropped,
        with a log line, so that ``SessionClosed`` always comes, and comes last.

        Args:
            event: The class of event; ``Event`` for all but ``MessageReceived``.
            callback: The callback, unless this is used as a decorator.

        Raises:
            RuntimeError: Messages have another consumer already; or this was called
                from another loop or thread.
            TypeError: ``event`` is not a class of event, or ``callback`` not callable.
        """
        require(event, type, "event", "a class from resilient_ws.events")
        if Event not in event.__mro__:
            raise TypeError("event must be a class from resilient_ws.events.")
        if self._supervisor is not None:
            self._supervisor.home.check()
        if event is MessageReceived and (self._pulled or self._dispatcher.consumes):
            msg = "Messages have a consumer already, and a session has only one."
            raise RuntimeError(msg)

        def register(function: C) -> C:
            require_callable(function, "callback")
            self._dispatcher.register(event, function)
            if self._supervisor is not None:
                self._supervisor.listen()
            return function

        return register if callback is None else register(callback)

    def on_open(self, hook: OnOpen) -> OnOpen:
        """Add a hook that runs on each new connection, behind that of ``connect``.

        Libraries on top of a session log in with it; a program uses the argument
        ``on_open`` of ``connect``.

        Raises:
            RuntimeError: The session was entered before.
        """
        require_callable(hook, "hook")
        if self.state is not State.IDLE:
            raise RuntimeError("on_open() comes too late: the session was entered.")
        first = self._settings.on_open

        async def both(connection: Connection) -> None:
            if first is not None:
                await first(connection)
            await hook(connection)

        self._settings = attrs.evolve(self._settings, on_open=both)
        return hook

    def reconnect(
        self, reason: str, url: str | None = None, *, code: int = 1000
    ) -> None:
        """Replace the connection now, without backoff; the session goes on.

        While the session is dialling already, this only changes the ``url``, if given.

        Args:
            reason: Why, for the log and the events.
            url: Where the next attempt goes; later ones go where ``connect`` said.
            code: The close code that the server gets (default 1000). Some servers keep
                what they know of the client only where it is another, such as 4000.

        Raises:
            RuntimeError: ``Reconnect.once()`` allows only one connection.
            SecurityError: ``access`` does not allow the URL.
            SessionClosed: The session is closed.
            ValueError: The URL is wrong, or the code may not be sent.
        """
        require(reason, str, "reason", "a str")
        require(code, int, "code", "a whole number, such as 1000")
        check_close(code, "")
        supervisor = self._entered()
        with NoFrames():
            if supervisor.life.state.ending or supervisor.orders.closing():
                raise supervisor.life.ended()
            if self._settings.reconnect.single:
                msg = "Reconnect.once() allows one connection: make a new session."
                raise RuntimeError(msg)
            endpoint = None if url is None else self._settings.endpoint(url)
        if endpoint is not None or supervisor.life.state is not State.CONNECTING:
            supervisor.orders.give(Replace(reason=reason, url=endpoint, code=code))

    def retry_now(self) -> None:
        """End the wait before the next attempt; do nothing in other states.

        Raises:
            SessionClosed: The session is closed.
        """
        supervisor = self._entered()
        if supervisor.life.state.ending:
            with NoFrames():
                raise supervisor.life.ended()
        if supervisor.life.state is State.BACKOFF:
            supervisor.orders.give(RetryNow())

    # Looking.

    @property
    def state(self) -> State:
        """The session's present state."""
        if self._supervisor is None:
            return State.CLOSED if self._closed_unentered else State.IDLE
        return self._supervisor.life.state

    @property
    def epoch(self) -> int:
        """How many connections have opened so far; 0 before the first."""
        return 0 if self._supervisor is None else self._supervisor.journal.epoch

    @property
    def message_epoch(self) -> int:
        """The epoch of the connection that brought the newest message you took.

        That connection may have ended: then ``epoch`` is higher, or ``state`` is not
        ``OPEN``.
        """
        supervisor = self._supervisor
        return 0 if supervisor is None else supervisor.inbox.message_epoch

    @property
    def latency(self) -> float | None:
        """Round-trip time of the newest ping, in seconds; ``None`` before the first."""
        supervisor = self._supervisor
        if supervisor is None:
            return None
        wire = supervisor.wire
        newest = None if wire is None else wire.watchman.latency
        return supervisor.journal.latency if newest is None else newest

    async def ping(self, *, timeout: float | None = None) -> float:
        """Ping the server now, and return the round-trip time in seconds.

        The pong also updates ``latency``, and may confirm messages sent before it. The
        pong of a later ping answers this one too (RFC 6455 §5.5.3). No message is
        taken, and any number of tasks may call this at once. While the inbox is full,
        no pong can be read. Liveness pings by itself, so you need not call this.

        Args:
            timeout: The most seconds to wait; ``None`` (default) waits for the pong or
                the end of the connection. Some servers answer only while they read,
                and some never do.

        Raises:
            ConnectionLost: The session is not open, or its connection ended first.
            GaveUp: The session gave up. Any other error that ended it is raised too.
            RuntimeError: This was called in ``on_open``.
            SessionClosed: The session is closed.
            TimeoutError: No pong came in time; the connection goes on.

        Cancellation:
            Safe.
        """
        if timeout is not None:
            check_duration("timeout", timeout)
        supervisor = self._entered()
        supervisor.hook.check_outside()
        state, wire = supervisor.life.state, supervisor.wire
        with NoFrames():
            if state.ending:
                raise supervisor.life.ended()
            if state is not State.OPEN or wire is None:
                raise ConnectionLost(
                    f"There is no open connection to ping ({state.value}): "
                    "wait_until(State.OPEN) waits for one.",
                    how="local",
                )
            try:
                async with asyncio.timeout(timeout):
                    return await wire.watchman.round_trip()
            except TimeoutError:
                msg = f"No pong arrived within {timeout:g} s; the connection goes on."
                raise TimeoutError(msg) from None

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected last, or ``None``."""
        supervisor = self._supervisor
        return None if supervisor is None else supervisor.journal.subprotocol

    @property
    def failure(self) -> Exception | None:
        """The error that ended the session; ``None`` while it runs or if closed."""
        return None if self._supervisor is None else self._supervisor.life.failure

    def statistics(self) -> Statistics:
        """Return a snapshot of the session's counters."""
        supervisor = self._supervisor
        if supervisor is None:
            return Statistics()
        return supervisor.journal.tally.snapshot(
            supervisor.wire,
            supervisor.life,
            supervisor.inbox,
            supervisor.outbox,
            self._dispatcher,
        )

    # Checking.

    def _entered(self) -> Supervisor:
        """Return the supervisor; refuse another loop or process."""
        supervisor = self._supervisor
        if supervisor is None:
            if self._closed_unentered:
                raise SessionClosed
            msg = (
                "The session was not entered; use: async with connect(...) as session."
            )
            raise RuntimeError(msg)
        supervisor.home.check()
        return supervisor


def _check_terms(epoch: object, confirm: object) -> None:
    """Check the arguments that concern one message alone."""
    if epoch is not None:
        whole_number("epoch", epoch, at_least=1)
    if confirm is not None and confirm != "write":
        raise ValueError(f"confirm must be 'write' or None, not {confirm!r}.")
