"""The one loop: dial, restore, serve, judge, wait, again.

Rules: the supervisor alone moves the state; it owns every task of the session; it
alone decides what follows the end of a connection. What a user asks for (close,
reconnect, retry now) is an *order*: it is noted, the loop is woken, and the loop
carries it out at the place where it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.connection import Connection, Window
from resilient_ws.errors import ConnectionLost, Fatal, ResilientWSError, mistake
from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.eventloop.tasks import cancel_and_wait
from resilient_ws.events import (
    ConnectionTimedOut,
    RetryScheduled,
    SessionClosed,
)
from resilient_ws.inbox import InboxQueue
from resilient_ws.inbox.restore_buffer import RestoreBuffer
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.policy.recovery import Pause, Recovery, Surrender
from resilient_ws.policy.tracebacks import by_the_user, where_raised, without_frames
from resilient_ws.settings import Attempt
from resilient_ws.state import State
from resilient_ws.supervisor.commands import Close, Orders, Replace, RetryNow
from resilient_ws.supervisor.dialler import Dialler
from resilient_ws.supervisor.hook import Hook
from resilient_ws.supervisor.journal import Journal
from resilient_ws.supervisor.lifecycle import Lifecycle
from resilient_ws.supervisor.log import SessionLog
from resilient_ws.supervisor.serving import Serving
from resilient_ws.supervisor.wiring import new_wire
from resilient_ws.transport.wire import Wire


if TYPE_CHECKING:
    from resilient_ws.eventloop.affinity import Home
    from resilient_ws.events import Event, RetrySource
    from resilient_ws.policy.failures import Ending
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Settings
    from resilient_ws.supervisor.dispatcher import Dispatcher


#: Seconds for callbacks to finish when the session ends.
LAST_CALL: Final = 1.0
#: Seconds after that for the events behind messages that nobody took in time.
LAST_WORD: Final = 0.1
#: The share of ``timeouts.close`` that is reserved for the closing handshake, so that a
#: slow outbox cannot use up all of it.
HANDSHAKE_SHARE: Final = 0.2


class Supervisor:
    """Runs one session, from entering it to its end."""

    __slots__ = (
        "_callbacks",
        "_detour",
        "_dialler",
        "_dispatcher",
        "_log",
        "_loop",
        "_recovery",
        "_report",
        "_serving",
        "_settings",
        "_task",
        "home",
        "hook",
        "inbox",
        "journal",
        "life",
        "orders",
        "outbox",
        "wire",
    )

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        *,
        home: Home,
    ) -> None:
        self.home = home
        loop = home.loop
        self._settings = settings
        self._dispatcher = dispatcher
        self._loop = loop
        self._log = SessionLog(settings.name, clock=loop.time)
        self._report = report = self._happened
        self.orders = Orders(loop, self._log)
        self.journal = Journal(log=self._log, loop=loop, report=report)
        self.life = Lifecycle(loop=loop, report=report)
        self.inbox = InboxQueue(
            settings.inbox, loop=loop, wall=time.time, report=report
        )
        dispatcher.attach(self.inbox, self._log)
        self.outbox = OutboxQueue(
            settings.outbox,
            loop=loop,
            report=report,
            check_waiting=self._check_waiting,
        )
        self.hook = Hook(
            settings.on_open,
            limit=settings.timeouts.restore,
            orders=self.orders,
            log=self._log,
            loop=loop,
        )
        self._dialler = Dialler(settings, log=self._log, loop=loop, report=report)
        self._recovery = Recovery(
            settings.reconnect, members=settings.members, now=loop.time()
        )
        self._serving = Serving(
            settings,
            orders=self.orders,
            journal=self.journal,
            recovery=self._recovery,
            log=self._log,
            loop=loop,
            report=report,
        )
        self.wire: Wire | None = None
        # The order that sends the next attempt elsewhere, if ``reconnect`` named a URL.
        self._detour: Replace | None = None
        self._callbacks: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    # Beginning and end.

    async def prepare(self) -> None:
        """Open the store of the outbox, which must be there before anything starts."""
        await self.outbox.open()

    def start(self) -> None:
        """Start the loop in a task, and the dispatcher in another if it is needed."""
        self.listen()
        self._task = self._loop.create_task(self._run(), name="resilient_ws session")

    def listen(self) -> None:
        """Start the dispatcher, once there are callbacks to run."""
        if self._callbacks is None and self._dispatcher.needed:
            callbacks = self._dispatcher.run(on_fatal=self.fail)
            self._callbacks = self._loop.create_task(
                callbacks, name="resilient_ws callbacks"
            )

    @property
    def done(self) -> bool:
        """Whether the session has ended and all its tasks are done."""
        return self._task is not None and self._task.done()

    async def wait(self) -> None:
        """Wait for the end; cancelling this wait leaves the session alone."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def owns(self, task: asyncio.Task[object] | None) -> bool:
        """Whether a task is one of the session's own, which must not await its end."""
        own = (self.hook.task, self._dispatcher.running, self._callbacks, self._task)
        return task is not None and task in own

    def close(self, order: Close) -> None:
        """End the session, and accept no more messages for sending."""
        self.orders.give(order)
        self.outbox.refuse(order.failure)

    def fail(self, failure: Exception) -> None:
        """End the session because of what a callable of the user's raised."""
        self.close(Close(failure=without_frames(failure), drain=0))

    def abort(self) -> None:
        """End the session now, without a word to the peer."""
        self.close(Close(drain=0))
        # The order ends every wait of the loop but those for the peer, and those end
        # with the transport: the loop itself is never cancelled, so it always comes
        # to its end.
        if self.wire is not None:
            self.wire.abort()
        if self._callbacks is not None:
            self._callbacks.cancel()

    def forsake(self) -> bool:
        """End the session because its owner dropped it; return whether it was running.

        May be called from any thread, and after the loop was closed.
        """
        ends = self.done or self.orders.closing() is not None
        if ends or not self.home.in_this_process:
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._forsaken)
        return True

    def _forsaken(self) -> None:
        self._log.say(
            logging.WARNING, "the session was dropped without close(), so it ends"
        )
        self.close(Close(drain=0))

    async def _run(self) -> None:
        failure: Exception | None = None
        ticker = ticker_of(self._loop)
        ticker.subscribe(self._slept)
        try:
            failure = await self._supervise()
        except Exception as bug:  # noqa: BLE001 - logged; whoever waits hears of it
            # Only as text: log handlers keep the frames of exc_info, and their secrets.
            kind = type(bug).__name__
            self._log.say(
                logging.CRITICAL,
                "the session ends because of a bug, a %s:\n%s",
                kind,
                where_raised(bug),
            )
            failure = Fatal(
                f"The session ended because of a bug in resilient_ws ({kind}). Please "
                "report it, with the traceback from the log."
            )
        finally:
            ticker.unsubscribe(self._slept)
            await self._end(failure)

    async def _end(self, failure: Exception | None) -> None:
        """Close every socket, end every task and wake everyone who waits."""
        if not self.life.state.ending:
            self.life.become(State.CLOSING, because=failure)
        self.outbox.refuse(failure)
        await self._let_go()
        await self._dialler.close()
        dropped, stored = await self.outbox.close()
        self.inbox.finish(failure)
        self.life.become(State.CLOSED, because=failure)
        self._report(
            SessionClosed(
                close=self.journal.close_record,
                failure=failure,
                dropped=dropped,
                stored=stored,
            )
        )
        self._dispatcher.finish()
        await self._last_call()

    async def _last_call(self) -> None:
        """Give callbacks a bounded time for the events that still wait."""
        if self._callbacks is None:
            return
        await asyncio.wait({self._callbacks}, timeout=LAST_CALL)
        if self._callbacks.done():
            return
        await cancel_and_wait(self._callbacks, self._log.say)
        # SessionClosed must reach its callback even if messages are left before it.
        if self._dispatcher.leave_messages():
            self._callbacks = self._loop.create_task(
                self._dispatcher.run(on_fatal=self.fail), name="resilient_ws callbacks"
            )
            await asyncio.wait({self._callbacks}, timeout=LAST_WORD)
            await cancel_and_wait(self._callbacks, self._log.say)

    async def _supervise(self) -> Exception | None:
        """Connect again and again; return the failure that ends this, if one does."""
        while self.orders.closing() is None:
            ending = await self._connect()
            # Two steps rather than one, so that the frames and buffers of dialling are
            # freed while the connection is open.
            if isinstance(ending, Wire):
                opened = await self._serving.hold(ending)
                ending = await self._served(ending, opened)
            if self.orders.closing() is not None:
                break
            if ending is None:
                await self._back_off(0.0, "request", self._recovery.because)
                continue
            answer = self._judge(ending)
            if answer.complaint is not None:
                self.journal.complain("classify", "Ending", answer.complaint)
            if isinstance(answer, Surrender):
                return answer.failure
            await self._back_off(answer.delay, answer.source, ending.because)
        order = self.orders.closing()
        return None if order is None else order.failure

    def _judge(self, ending: Ending) -> Pause | Surrender:
        """Ask the policy what follows; if the user's wait or stop raises, give up."""
        try:
            return self._recovery.after(
                ending, now=self._loop.time(), now_wall=time.time()
            )
        except Exception as bug:  # noqa: BLE001 - logged and told
            what = f"Reconnect.wait or Reconnect.stop raised {type(bug).__name__}"
            line = ("the session ends: %s", what)
            self._log.say(logging.ERROR, *line, exc_info=by_the_user(bug))
            failure = mistake(what)
            failure.__cause__ = without_frames(bug)
            return Surrender(failure=failure)

    async def _back_off(
        self, delay: float, source: RetrySource, because: Exception | None
    ) -> None:
        """Wait until the next attempt is due, or an order ends the wait."""
        until = self._loop.time() + delay
        self.life.become(State.BACKOFF, because=because, retry_in=delay)
        attempt = self._recovery.attempt
        self._report(
            RetryScheduled(delay=delay, attempt=attempt, because=because, source=source)
        )
        await self.orders.unless_given(self._let_go())
        while self.orders.waiting() is None and self._loop.time() < until:
            await self.orders.first(timeout=until - self._loop.time())

    async def _let_go(self) -> None:
        """Finish the connection, if there is one, and count what it carried."""
        wire = self.wire
        if wire is not None:
            try:
                await wire.finish()
            finally:
                self.wire = None
                self.journal.tally.add(wire, self._loop.time())

    # One connection.

    async def _connect(self) -> Wire | Ending | None:
        """Make one connection.

        Returns:
            The open connection, or why it failed; ``None`` if an order ended it.
        """
        began = self._loop.time()
        attempt = self._next_attempt()
        buffer = RestoreBuffer(self._settings.inbox)
        wire = self.wire = self._new_wire(buffer)
        self.life.become(State.CONNECTING)
        try:
            negotiated = await self.orders.unless_given(self._dial(wire, attempt))
        except ResilientWSError as failure:
            if self.orders.closing() is not None:
                # Not a failure: the dial was cancelled because the session ends.
                return None
            return self._attempt_failed(attempt, failure, began)
        if negotiated is None:
            return None
        self._log.endpoint = self._dialler.where
        self.life.become(State.RESTORING)
        because = await self._restore(wire, buffer, negotiated)
        if because is not None:
            return self._attempt_failed(attempt, because, began)
        if self.orders.waiting() is not None:
            await self._hang_up(wire)
            return None
        self._open(wire, buffer, negotiated)
        return wire

    def _new_wire(self, buffer: RestoreBuffer) -> Wire:
        return new_wire(
            self._settings,
            buffer,
            loop=self._loop,
            report=self._report,
            acknowledge=self.outbox.traffic.acknowledge,
            complain=self.journal.complain,
            on_fatal=self.fail,
        )

    def _attempt_failed(
        self, attempt: Attempt, because: Exception, began: float
    ) -> Ending:
        where = self._log.endpoint = self._dialler.where
        return self.journal.attempt_failed(
            attempt, where, because, state=self.life.state, began=began
        )

    def _next_attempt(self) -> Attempt:
        order = self.orders.take()
        if isinstance(order, Replace):
            self._detour = order
        self.journal.tally.attempts += 1
        recovery = self._recovery
        return Attempt(
            number=recovery.attempt,
            epoch=self.journal.epoch + 1,
            because=recovery.because,
            fresh=recovery.fresh,
        )

    async def _dial(self, wire: Wire, attempt: Attempt) -> Negotiated:
        detour, self._detour = self._detour, None
        return await self._dialler.dial(
            wire,
            attempt,
            member=self._recovery.member,
            url=None if detour is None else detour.url,
        )

    async def _restore(
        self, wire: Wire, buffer: RestoreBuffer, negotiated: Negotiated
    ) -> Exception | None:
        """Run ``on_open``; return the failure of it or of its connection, if any."""
        window = Window()
        connection = Connection(
            wire,
            buffer,
            window=window,
            epoch=self.journal.epoch + 1,
            endpoint=self._log.endpoint,
            negotiated=negotiated,
        )
        return await self.hook.run(connection, window, wire.ended)

    def _open(self, wire: Wire, buffer: RestoreBuffer, negotiated: Negotiated) -> None:
        """Let messages flow, in one step that nothing can interrupt."""
        resumed_after = self.journal.begin_epoch(self.inbox)
        self._recovery.opened()
        self.life.become(State.OPEN)
        self.journal.opened(self._log.endpoint, negotiated, resumed_after)
        # After the event: messages of the restore phase count as received from now on.
        buffer.join(self.inbox)
        wire.incoming.redirect(self.inbox)  # pyright: ignore[reportArgumentType] # a callable in a slot is no method
        wire.outgoing.on_writable = self.outbox.resume
        if self._settings.outbox.confirm != "write":
            wire.watchman.on_passed = partial(self.outbox.traffic.passed, wire.outgoing)
        wire.ended.add_done_callback(partial(self._lost, wire))
        self.outbox.traffic.attach(
            wire.outgoing, wire.watchman.ping, epoch=self.journal.epoch
        )

    def _lost(self, wire: Wire, because: asyncio.Future[ConnectionLost]) -> None:
        self.outbox.traffic.detach(wire.outgoing, because.result())

    async def _served(self, wire: Wire, opened: float) -> Ending | None:
        """Return why a connection ended; end it first if an order says so."""
        if wire.ended.done():
            lost = wire.ended.result()
            # If it was lost before it was open, its callback has not run yet.
            self.outbox.traffic.detach(wire.outgoing, lost)
            suspected = self.outbox.traffic.suspected
            return self.journal.dropped(
                wire, lost, opened, self.inbox, suspected=suspected
            )
        order = self.orders.waiting()
        if isinstance(order, Replace):
            await self._replace(wire, order, opened)
        else:
            await self._hang_up(wire)
        return None

    async def _replace(self, wire: Wire, order: Replace, opened: float) -> None:
        """Replace an open connection, without backoff."""
        self._detour = order
        self.orders.take()
        why = f"The connection is replaced: {order.reason}."
        self._recovery.replaced(ConnectionLost(why, how="local"), self._loop.time())
        await self._hang_up(wire, order.code)
        self.journal.replaced(wire, order.reason, opened)

    async def _hang_up(self, wire: Wire, code: int = 1000) -> None:
        """Drain the outbox if the session closes, then close the connection."""
        closing = self.orders.closing()
        order = closing or Close(code=code, drain=0)
        limit = self._settings.timeouts.close + (order.drain or 0.0)
        if closing is not None:
            self.life.become(State.CLOSING, because=closing.failure)
        try:
            async with asyncio.timeout(limit):
                if order.drain != 0:
                    share = HANDSHAKE_SHARE * self._settings.timeouts.close
                    await self.outbox.drained(limit - share, limit / 2)
                self.outbox.traffic.halt(wire.outgoing)
                await wire.close(order.code, order.reason, discard=closing is not None)
                await wire.finish()
        except TimeoutError:
            if not wire.ended.done():
                self._report(ConnectionTimedOut(kind="close", after=limit))
        finally:
            self.outbox.traffic.detach(wire.outgoing)
            wire.abort()
            self.journal.closed(wire)

    # What the parts ask of the supervisor.

    def _happened(self, event: Event) -> None:
        """Log an event, and hand it to the callbacks."""
        self._log.happened(event)
        self._dispatcher.post(event)

    def _slept(self, seconds: float) -> None:
        """Probe the link at once: it may not have survived the machine's sleep."""
        text = "the machine slept for %.0f s, or its clock was set"
        self._log.say(logging.INFO, text, seconds)
        if self.wire is not None:
            self.journal.tally.slept(self.wire, self._loop.time(), seconds)
            self.wire.watchman.suspect()
        if self.life.state is State.BACKOFF:
            self.orders.give(RetryNow())

    def _check_waiting(self) -> None:
        self.home.check()
        self.hook.check_outside()
