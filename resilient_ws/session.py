"""Define ``Session``, whose methods users call.

Rules: nothing runs before the ``async with``. A session belongs to the loop on which it
was entered. Each method checks that and passes the call to the part that does the work.
A traceback shows no frame of ours but the method's, and no variable of that frame holds
a secret, because error trackers record the variables.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast, overload

from resilient_ws.errors import ConnectionLost
from resilient_ws.eventloop.affinity import Home, running_loop
from resilient_ws.events import Event, MessageReceived
from resilient_ws.inbox.iteration import Iteration
from resilient_ws.outbox.delivery import Delivery, check_message_id
from resilient_ws.policy._validate import (
    check_duration,
    require,
    require_callable,
    whole_number,
)
from resilient_ws.policy.tracebacks import NoFrames, without_frames
from resilient_ws.protocol.close import check_close
from resilient_ws.state import State
from resilient_ws.statistics import Statistics
from resilient_ws.supervisor.callbacks import Callbacks
from resilient_ws.supervisor.commands import EndSession, Replace
from resilient_ws.supervisor.entry import enter, wait_for_end
from resilient_ws.supervisor.lifecycle import Lifecycle
from resilient_ws.supervisor.loop import Supervisor


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType
    from typing import Self

    from resilient_ws.connection import OnOpen
    from resilient_ws.events import ConnectionEnd
    from resilient_ws.inbox import Inbox, Interruption
    from resilient_ws.outbox.delivery import Sendable
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.protocol.close import Close
    from resilient_ws.protocol.message import Message
    from resilient_ws.settings import Settings
    from resilient_ws.traffic import Tap

E = TypeVar("E", bound=Event)
R = TypeVar("R")
C = TypeVar("C", bound="Callable[..., object]")

#: Who takes the messages: calls such as ``receive()``, or a callback.
Consumer: TypeAlias = Literal["calls", "callback"]
#: What a second consumer is told.
_SECOND_CONSUMER: Final[dict[Consumer, str]] = {
    "calls": "Messages go to the callback for MessageReceived; a session has one "
    "consumer, so use either callbacks or receive() and iteration.",
    "callback": "Messages have a consumer already, and a session has only one.",
}


class Session:
    """A logical link to a WebSocket server; connections come and go beneath it.

    ``connect()`` makes it. It belongs to the loop on which it was entered, and it runs
    until it is closed. A session that was entered and then dropped, so that nothing
    refers to it any more, ends with a ``ResourceWarning``. An iterator over it and a
    callback that refers to it keep it alive.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._callbacks = Callbacks()
        self._life = Lifecycle()
        # Who takes the messages: whoever asks for them first.
        self._consumer: Consumer | None = None
        # What runs the session. It needs the loop on which the session is entered.
        self._supervisor: Supervisor | None = None

    def __repr__(self) -> str:
        """Show the name, the state, the epoch and the URL, without secrets."""
        name = self._settings.chosen_name
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
        if supervisor is not None and supervisor.abandon():
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
        if self._supervisor is not None or self._life.state is not State.IDLE:
            msg = "A session is entered once; make a new one with connect()."
            raise RuntimeError(msg)
        self._supervisor = Supervisor(
            self._settings, self._callbacks, self._life, home=Home.here()
        )
        await enter(self._supervisor, self._settings)

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
        supervisor.close(EndSession(drain=None if exc_type is None else 0))
        await wait_for_end(supervisor)

    async def close(
        self, code: int = 1000, reason: str = "", drain: float | None = None
    ) -> Close | None:
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
            if not self._life.state.ending:
                self._life.move_to(State.CLOSING)
                self._life.move_to(State.CLOSED)
            return None
        supervisor = self._entered()
        supervisor.close(EndSession(code=code, reason=reason, drain=drain))
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
        if self._supervisor is None and self._life.state is State.CLOSED:
            return
        supervisor = self._entered()
        if supervisor.owns(asyncio.current_task()):
            msg = (
                "wait_closed() inside on_open or a callback would wait for itself: "
                "call it in another task."
            )
            raise RuntimeError(msg)
        await supervisor.wait()
        if self._life.failure is not None:
            with NoFrames():
                raise self._life.failure

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
        if state is not self._life.state:
            supervisor.restorer.check_outside()
        with NoFrames():
            await self._life.wait_until(state)

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
            The delivery of the message. ``await delivery.confirmed()`` waits until the
            message got as far as ``Outbox.confirm`` asks, or raises ``DeliveryError``.

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
        return [] if self._supervisor is None else self._supervisor.outbox.outstanding()

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
        unread = inbox.unread
        if len(unread.page) > 1:
            return unread.page.pop()
        message: Message | None = await inbox.wait_and_take(unread.take_message)
        if message is None:
            raise self._life.closed_error()
        return message

    @overload
    async def receive_many(
        self, *, interruptions: Literal[False] = ...
    ) -> list[Message]: ...
    @overload
    async def receive_many(
        self, *, interruptions: bool
    ) -> list[Message] | Interruption | ConnectionEnd: ...
    async def receive_many(
        self, *, interruptions: bool = False
    ) -> list[Message] | Interruption | ConnectionEnd:
        """Return all waiting messages, in order; wait for the first if there is none.

        Use it for streams of many small messages: it hands over the inbox's own list,
        so a message costs next to nothing. The list ends where messages may be missing,
        and the next call goes on from there, so all messages of a list came on one
        connection, ``message_epoch``. The inbox limits the length of the list, to
        ``Inbox.max_messages`` and what a connection brought as it ended.

        Args:
            interruptions: Return what stands between two lists too, by itself and in
                its place: what ``with_interruptions(drops=True)`` yields.

        Raises:
            GaveUp: The session gave up, and every message was taken. Any other error
                that ended it is raised too.
            RuntimeError: Another consumer waits, or this was called in ``on_open``.
            SessionClosed: The session is closed, and every message was taken.

        Cancellation:
            Safe: no message is lost.
        """
        inbox = self._consume().inbox
        require(interruptions, bool, "interruptions", "True or False")
        messages: list[Message] | Interruption | ConnectionEnd | None
        if not interruptions:
            messages = await inbox.wait_and_take(inbox.unread.take_run)
        else:
            inbox.unread.keep_drops()
            messages = await inbox.wait_and_take(inbox.unread.take_batch)
        if messages is None:
            raise self._life.closed_error()
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
        iteration = Iteration(inbox, home, inbox.unread.take_message, self)
        return cast("AsyncIterator[Message]", iteration)

    @overload
    def with_interruptions(
        self, *, drops: Literal[False] = ...
    ) -> AsyncIterator[Message | Interruption]: ...
    @overload
    def with_interruptions(
        self, *, drops: bool
    ) -> AsyncIterator[Message | Interruption | ConnectionEnd]: ...
    def with_interruptions(
        self, *, drops: bool = False
    ) -> AsyncIterator[Message | Interruption | ConnectionEnd]:
        """Iterate as ``async for`` does, and show where messages may be missing.

        An ``Interruption`` follows the last message of a connection that ended and
        precedes the first of the next. Another stands where the inbox discarded
        messages. It arrives once the next connection is open, and its ``epoch`` names
        that connection; messages before the first one belong to ``message_epoch``.

        Args:
            drops: Yield a ``ConnectionDropped`` too, as soon as a connection is lost
                and its messages were read, or a ``ConnectionReplaced`` where the
                session ended it to have another. An application that waits for a
                response or acts on a feed needs to know then, not when the next
                connection opens. At most the newest 100 wait to be read, and only the
                newest one before the first call; the ``Interruption`` that follows
                counts all of them.

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
            return Iteration(inbox, home, inbox.unread.take_message_or_hole, self)
        inbox.unread.keep_drops()
        return Iteration(inbox, home, inbox.unread.take_item, self)

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

        def register(function: C) -> C:
            require_callable(function, "callback")
            if event is MessageReceived:
                self._claim_messages("callback")
            self._callbacks.register(event, function)
            if self._supervisor is not None:
                self._supervisor.run_callbacks()
            return function

        return register if callback is None else register(callback)

    def off(self, event: type[E], callback: Callable[[E], object]) -> None:
        """Take back a callback that ``on`` registered; do nothing if it is not there.

        A call of it that runs already is finished.

        Raises:
            RuntimeError: This was called from another loop or thread.
            TypeError: ``event`` is not a class of event.
            ValueError: ``event`` is ``MessageReceived``, which keeps its consumer.
        """
        require(event, type, "event", "a class from resilient_ws.events")
        if Event not in event.__mro__:
            raise TypeError("event must be a class from resilient_ws.events.")
        if event is MessageReceived:
            raise ValueError(
                "event must not be MessageReceived: a session keeps the consumer of "
                "its messages, or they would wait for ever."
            )
        if self._supervisor is not None:
            self._supervisor.home.check()
        self._callbacks.remove(event, callback)

    def on_open(self, hook: OnOpen) -> OnOpen:
        """Add a hook that runs on each new connection, behind those added before.

        A library on top of a session logs in with it; a program gives its hook to
        ``connect(on_open=...)``. All of them share ``timeouts.restore``.

        Raises:
            RuntimeError: The session was entered or closed before.
            TypeError: ``hook`` is not a callable.
        """
        require_callable(hook, "hook")
        self._check_idle("on_open()")
        self._settings = self._settings.with_hook(hook)
        return hook

    def tap(self, callback: Tap) -> Tap:
        """Show ``callback`` each message and control frame, in both directions.

        For tools such as ``resilient_ws.recording``. The callback is not async. It is
        called as frames are parsed and made, so whatever it does slows the session
        down. What it is shown includes passwords that ``on_open`` sends. A message is
        shown whole, with those that ``Outbox.confirm`` and ``Liveness.is_answer`` take.
        If the callback raises, ``HandlerFailed`` says so, and it is not called again on
        that connection. A session without a tap pays nothing for this.

        Raises:
            RuntimeError: The session was entered or closed before.
            TypeError: ``callback`` is not a callable.
        """
        require_callable(callback, "callback")
        self._check_idle("tap()")
        self._settings = self._settings.with_tap(callback)
        return callback

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
            if self._life.state.ending or supervisor.commands.end_session is not None:
                raise self._life.closed_error()
            if self._settings.reconnect.single:
                msg = "Reconnect.once() allows one connection: make a new session."
                raise RuntimeError(msg)
            endpoint = None if url is None else self._settings.endpoint(url)
        if endpoint is not None or self._life.state is not State.CONNECTING:
            supervisor.commands.give(Replace(reason=reason, url=endpoint, code=code))

    def check_url(self, url: str) -> None:
        """Refuse a URL that ``reconnect`` would not go to, such as one a server named.

        Raises:
            SecurityError: ``access`` does not allow it.
            ValueError: It is wrong.
        """
        with NoFrames():
            self._settings.endpoint(url)

    def retry_now(self) -> None:
        """End the wait before the next attempt; do nothing in other states.

        Raises:
            SessionClosed: The session is closed.
        """
        supervisor = self._entered()
        if self._life.state.ending:
            with NoFrames():
                raise self._life.closed_error()
        supervisor.retry_now()

    # Looking.

    @property
    def name(self) -> str:
        """What logs and events call this session; no secret is in it."""
        return self._settings.name

    @property
    def endpoint(self) -> str | None:
        """The first URL given to ``connect``, without secrets.

        ``None`` where ``url`` is a callable. ``ConnectionOpened.endpoint`` tells where
        a connection leads.
        """
        return None if callable(self._settings.endpoints) else self._settings.where

    @property
    def inbox(self) -> Inbox:
        """How messages wait until you read them, as given to ``connect``."""
        return self._settings.inbox

    @property
    def outbox(self) -> Outbox:
        """How messages wait until they can be sent, as given to ``connect``."""
        return self._settings.outbox

    @property
    def state(self) -> State:
        """The session's current state."""
        return self._life.state

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
        return 0 if supervisor is None else supervisor.inbox.unread.message_epoch

    @property
    def latency(self) -> float | None:
        """Round-trip time of the newest ping, in seconds; ``None`` before the first."""
        supervisor = self._supervisor
        if supervisor is None:
            return None
        wire = supervisor.wire
        newest = None if wire is None else wire.keepalive.latency
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
        supervisor.restorer.check_outside()
        state, wire = self._life.state, supervisor.wire
        with NoFrames():
            if state.ending:
                raise self._life.closed_error()
            if state is not State.OPEN or wire is None:
                raise ConnectionLost(
                    f"There is no open connection to ping ({state.value}): "
                    "wait_until(State.OPEN) waits for one.",
                    how="local",
                )
            try:
                async with asyncio.timeout(timeout):
                    return await wire.keepalive.round_trip()
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
        return self._life.failure

    def statistics(self) -> Statistics:
        """Return a snapshot of the session's counters."""
        supervisor = self._supervisor
        return Statistics() if supervisor is None else supervisor.statistics()

    # Checking.

    def _check_idle(self, call: str) -> None:
        """Refuse a call that must come before the session is entered."""
        if self._life.state is not State.IDLE or self._supervisor is not None:
            msg = f"{call} comes too late: the session was entered or closed."
            raise RuntimeError(msg)

    def _entered(self) -> Supervisor:
        """Return the supervisor; refuse another loop or process."""
        supervisor = self._supervisor
        if supervisor is None:
            if self._life.state.ending:
                raise self._life.closed_error()
            msg = (
                "The session was not entered; use: async with connect(...) as session."
            )
            raise RuntimeError(msg)
        if running_loop() is not supervisor.home.loop:
            raise supervisor.home.stranger()
        return supervisor

    def _consume(self) -> Supervisor:
        """Return the supervisor to a call that takes messages, if it may."""
        supervisor = self._supervisor
        if supervisor is None or running_loop() is not supervisor.home.loop:
            # Asked only to raise: all others are spared the call.
            supervisor = self._entered()
        if supervisor.restorer.task is not None:
            supervisor.restorer.check_outside()
        if self._consumer != "calls":
            self._claim_messages("calls")
        return supervisor

    def _claim_messages(self, consumer: Consumer) -> None:
        """Make this the one consumer of the messages, or refuse the second one."""
        if self._consumer is not None:
            raise RuntimeError(_SECOND_CONSUMER[consumer])
        self._consumer = consumer


def _check_terms(epoch: object, confirm: object) -> None:
    """Check the arguments that concern one message alone."""
    if epoch is not None:
        whole_number("epoch", epoch, at_least=1)
    if confirm is not None and confirm != "write":
        raise ValueError(f"confirm must be 'write' or None, not {confirm!r}.")
