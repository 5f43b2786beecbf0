"""The one loop: dial, restore, serve, judge, wait, again.

Rules: the supervisor alone moves the state; it owns every task of the session; it
alone decides what follows the end of a connection. What a user asks for (close,
reconnect, retry now) is an *order*: it is noted, the loop is woken, and the loop
carries it out at the place where it stands.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.dialler import Dialler
from resilient_ws.errors import ConnectionLost, Fatal, OpenTimeout
from resilient_ws.events import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionStable,
    ConnectionTimedOut,
    HandlerFailed,
    RetryScheduled,
    SessionClosed,
    signal_of,
)
from resilient_ws.inbox import InboxQueue
from resilient_ws.lifecycle import Lifecycle, told
from resilient_ws.orders import Close, Orders, Replace, RetryNow
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.policy.backoff import jittered_age
from resilient_ws.policy.failures import Ending
from resilient_ws.policy.recovery import Recovery, Surrender
from resilient_ws.protocol.engine import Engine
from resilient_ws.restore import Connection, RestoreBuffer, restoring
from resilient_ws.settings import Attempt
from resilient_ws.state import State
from resilient_ws.statistics import Tally
from resilient_ws.suspend import ticker_of
from resilient_ws.transport.wire import Wire


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resilient_ws.dispatch import Dispatcher
    from resilient_ws.events import RetrySource
    from resilient_ws.inbox import Message
    from resilient_ws.protocol.close import Close as CloseRecord
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import OnOpen, Settings


logger = logging.getLogger("resilient_ws")

#: Seconds that what waits for callbacks gets at the end of the session.
LAST_CALL: Final = 1.0
#: Seconds that a cancelled hook, dial or callback gets to end.
CANCEL_GRACE: Final = 1.0

T = TypeVar("T")


class Supervisor:
    """Runs one session, from entering it to its end."""

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._loop = loop
        self._report = report = dispatcher.post
        self.orders = Orders(loop)
        self.life = Lifecycle(settings.where, loop=loop, report=report)
        self.inbox = InboxQueue(
            settings.inbox, loop=loop, wall=time.time, report=report
        )
        self.outbox = OutboxQueue(
            settings.outbox,
            loop=loop,
            report=report,
            check_waiting=self.check_not_restoring,
        )
        self._dialler = Dialler(settings, loop=loop)
        self._recovery = Recovery(
            settings.reconnect, members=settings.members, now=loop.time()
        )
        self.tally = Tally()
        self.epoch = 0
        self.wire: Wire | None = None
        self.negotiated: Negotiated | None = None
        self.latency: float | None = None
        self.close_record: CloseRecord | None = None
        #: Why the newest attempt failed.
        self.last_error: Exception | None = None
        # Where the next attempt goes on request, instead of where it would go.
        self._detour: Replace | None = None
        # Since the last open connection: what ended it, and when.
        self._hole: tuple[Exception | None, float, float] | None = None
        self._hook: asyncio.Task[object] | None = None
        self._callbacks: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None

    # Beginning and end.

    def start(self) -> None:
        """Begin: the loop and the dispatcher, in a task each."""
        create = self._loop.create_task
        callbacks = self._dispatcher.run(self.inbox, on_fatal=self.fail)
        self._callbacks = create(callbacks, name="resilient_ws callbacks")
        self.task = create(self._run(), name="resilient_ws session")

    def owns(self, task: asyncio.Task[object] | None) -> bool:
        """Whether a task is one of the session's own, which must not await its end."""
        own = (self._hook, self._dispatcher.running, self._callbacks, self.task)
        return task is not None and task in own

    def close(self, order: Close) -> None:
        """End the session; nothing is accepted for sending from now on."""
        self.orders.give(order)
        self.outbox.refuse(order.failure)

    def fail(self, failure: Exception) -> None:
        """End the session because of what a callable of the user's raised."""
        self.close(Close(failure=failure, drain=0))

    def abort(self) -> None:
        """End the session now, without a word to the peer."""
        self.close(Close(drain=0))
        for task in (self._callbacks, self.task):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        failure: Exception | None = None
        unsubscribe = ticker_of(self._loop).subscribe(self._slept)
        try:
            failure = await self._supervise()
        except Exception as bug:
            logger.exception("The session ends because of a bug")
            failure = bug
        finally:
            unsubscribe()
            await self._end(failure)

    async def _end(self, failure: Exception | None) -> None:
        """Leave nothing behind: no socket, no task, nobody who waits."""
        if not self.life.state.ending:
            self.life.become(State.CLOSING, because=failure)
        self.outbox.refuse(failure)
        await self._let_go()
        await self._dialler.close()
        dropped = self.outbox.discard()
        self.inbox.finish(failure)
        self.life.become(State.CLOSED, because=failure)
        self._report(
            SessionClosed(close=self.close_record, failure=failure, dropped=dropped)
        )
        self._dispatcher.finish()
        if self._callbacks is not None:
            await asyncio.wait({self._callbacks}, timeout=LAST_CALL)
            await _cancelled(self._callbacks)

    async def _supervise(self) -> Exception | None:
        """Connect, and again, until told to end or to give up; return the failure."""
        while self.orders.closing() is None:
            ending = await self._connection()
            if self.orders.closing() is not None:
                break
            if ending is None:
                await self._back_off(0.0, "request", self._recovery.because)
                continue
            answer = self._recovery.after(
                ending, now=self._loop.time(), now_wall=time.time()
            )
            self._complain("classify", answer.complaint)
            if isinstance(answer, Surrender):
                return answer.failure
            await self._back_off(answer.delay, answer.source, ending.because)
        order = self.orders.closing()
        return None if order is None else order.failure

    async def _back_off(
        self, delay: float, source: RetrySource, because: Exception | None
    ) -> None:
        """Wait for the next attempt, or for an order that cuts the wait."""
        until = self._loop.time() + delay
        self.life.become(State.BACKOFF, because=because, retry_in=delay)
        attempt = self._recovery.attempt
        self._report(
            RetryScheduled(delay=delay, attempt=attempt, because=because, source=source)
        )
        await self._unless_ordered(self._let_go())
        while self.orders.waiting() is None and self._loop.time() < until:
            await self.orders.first(timeout=until - self._loop.time())

    async def _let_go(self) -> None:
        """Be done with the connection, if there is one."""
        wire, self.wire = self.wire, None
        if wire is not None:
            try:
                await wire.finish()
            finally:
                self.tally.add(wire)

    # One connection.

    async def _connection(self) -> Ending | None:
        """Make one connection and hold it to its end.

        Returns:
            Why it ended, ``None`` when that was on request.
        """
        began = self._loop.time()
        attempt = self._next_attempt()
        buffer = RestoreBuffer(self._settings.inbox)
        wire = self.wire = self._new_wire(buffer)
        self.life.become(State.CONNECTING)
        try:
            negotiated = await self._unless_ordered(self._dial(wire, attempt))
            if negotiated is None:
                return None
            connection = self._new_connection(wire, buffer, negotiated)
            self.life.become(State.RESTORING)
            if not await self._restored(wire, connection):
                return None
        except Exception as failure:  # noqa: BLE001 - whatever it is, the attempt has failed with it
            return self._attempt_failed(attempt, failure, began)
        self._open(wire, buffer, negotiated)
        return await self._serve(wire)

    def _next_attempt(self) -> Attempt:
        order = self.orders.take()
        self._detour = order if isinstance(order, Replace) else None
        self.tally.attempts += 1
        recovery = self._recovery
        return Attempt(
            number=recovery.attempt,
            epoch=self.epoch + 1,
            because=recovery.because,
            fresh=recovery.fresh,
        )

    def _new_wire(self, buffer: RestoreBuffer) -> Wire:
        settings = self._settings
        wire = Wire(
            Engine(max_message_size=settings.max_message_size),
            buffer,
            settings.liveness,
            loop=self._loop,
            report=self._report,
        )
        if settings.liveness.is_answer is not None:
            wire.is_answer = self._is_answer
        return wire

    def _new_connection(
        self, wire: Wire, buffer: RestoreBuffer, negotiated: Negotiated
    ) -> Connection:
        return Connection(
            wire,
            buffer,
            epoch=self.epoch + 1,
            endpoint=self._dialler.where,
            negotiated=negotiated,
        )

    async def _dial(self, wire: Wire, attempt: Attempt) -> Negotiated:
        detour, self._detour = self._detour, None
        return await self._dialler.dial(
            wire,
            attempt,
            member=self._recovery.member,
            url=None if detour is None else detour.url,
        )

    async def _restored(self, wire: Wire, connection: Connection) -> bool:
        """Run ``on_open``; return whether the connection may open.

        Raises:
            Exception: What the hook raised, or why the connection ended meanwhile.
        """
        hook = self._hook = self._loop.create_task(
            _run_hook(self._settings.on_open, connection), name="resilient_ws on_open"
        )
        limit = self._settings.timeouts.restore
        try:
            await self.orders.first(hook, wire.ended, timeout=limit)
            finished = hook.done()
        finally:
            connection.finish()
            await _cancelled(hook)
            self._hook = None
        if wire.ended.done():
            raise wire.ended.result()
        if self.orders.waiting() is not None:
            await self._hang_up(wire)
            return False
        if not finished:
            msg = f"on_open did not finish within {limit:g} s (timeouts.restore)."
            raise OpenTimeout(msg, kind="restore", after=limit)
        hook.result()
        return True

    def _open(self, wire: Wire, buffer: RestoreBuffer, negotiated: Negotiated) -> None:
        """Let messages flow: one step, so that nothing comes between."""
        self.epoch += 1
        self.tally.opened += 1
        self.negotiated = negotiated
        resumed_after = self._mark_hole()
        buffer.join(self.inbox)
        wire.redirect(self.inbox)
        wire.on_writable = self.outbox.resume
        self._recovery.opened()
        self.life.become(State.OPEN)
        self._report(
            ConnectionOpened(
                epoch=self.epoch,
                endpoint=self._dialler.where,
                subprotocol=negotiated.subprotocol,
                extensions=negotiated.extensions,
                resumed_after=resumed_after,
            )
        )
        self.outbox.attach(wire)

    def _mark_hole(self) -> float | None:
        """Put the interruption before the new epoch; return the seconds it lasted."""
        if self._hole is None:
            return None
        cause, since, began = self._hole
        self._hole = None
        self.inbox.interrupt(cause, since=since, until=time.time(), epoch=self.epoch)
        return self._loop.time() - began

    async def _serve(self, wire: Wire) -> Ending | None:
        """Hold an open connection until it ends, or until told otherwise."""
        policy = self._settings.reconnect
        opened = self._loop.time()
        stable_at = opened + policy.stable_after
        retire_at = math.inf
        if policy.max_age is not None:
            retire_at = opened + jittered_age(policy.max_age, policy.rng)
        while not wire.ended.done() and self.orders.waiting() is None:
            now = self._loop.time()
            if now >= stable_at:
                stable_at = math.inf
                self._recovery.stable()
                self._report(ConnectionStable(epoch=self.epoch))
            if now >= retire_at:
                self.orders.give(Replace(reason="it has reached max_age"))
            due = min(stable_at, retire_at)
            timeout = None if due == math.inf else due - now
            await self.orders.first(wire.ended, timeout=timeout)
            if isinstance(self.orders.waiting(), RetryNow):
                self.orders.take()
        if wire.ended.done():
            return self._dropped(wire, wire.ended.result(), opened)
        await self._leave(wire)
        return None

    async def _leave(self, wire: Wire) -> None:
        """End an open connection on request: for good, or for another."""
        order = self.orders.waiting()
        if isinstance(order, Replace):
            because = ConnectionLost(
                f"The connection is replaced because {order.reason}.", how="local"
            )
            self._note_hole(None)
            self._recovery.replaced(because, self._loop.time())
        await self._hang_up(wire)

    async def _hang_up(self, wire: Wire) -> None:
        """Drain if that is wanted, then shake hands, all in bounded time."""
        close = self.orders.closing()
        order = close or Close()
        limit = self._settings.timeouts.close + (order.drain or 0.0)
        if close is not None:
            self.life.become(State.CLOSING, because=close.failure)
        try:
            async with asyncio.timeout(limit):
                if close is not None and order.drain != 0:
                    await self.outbox.drained()
                self.outbox.detach()
                await wire.close(order.code, order.reason, discard=close is not None)
        except TimeoutError:
            self._report(ConnectionTimedOut(kind="close", after=limit))
        finally:
            self.outbox.detach()
            self.close_record = wire.engine.record()
            self._note_latency(wire)

    # What an end means.

    def _dropped(self, wire: Wire, because: ConnectionLost, opened: float) -> Ending:
        """Report the loss of an open connection."""
        self.outbox.detach()
        self.tally.drops += 1
        self.last_error = because
        self.close_record = wire.engine.record()
        self._note_latency(wire)
        self._note_hole(because)
        uptime = self._loop.time() - opened
        self._signal(because)
        self._report(
            ConnectionDropped(
                epoch=self.epoch,
                because=because,
                close=because.close,
                uptime=uptime,
                clean=because.close is not None and because.close.clean,
                unconfirmed=wire.watchman.unconfirmed,
            )
        )
        return Ending(because=because, state=State.OPEN, uptime=uptime)

    def _attempt_failed(
        self, attempt: Attempt, failure: Exception, began: float
    ) -> Ending:
        """Report an attempt that led to no open connection."""
        self.last_error = failure
        level = logging.WARNING if self.epoch == 0 else logging.INFO
        logger.log(
            level,
            "%s: attempt %d failed: %s",
            self._dialler.where,
            attempt.number,
            told(failure),
        )
        self._signal(failure)
        self._report(
            AttemptFailed(
                attempt=attempt.number,
                endpoint=self._dialler.where,
                because=failure,
                elapsed=self._loop.time() - began,
            )
        )
        return Ending(because=failure, state=self.life.state)

    def _signal(self, because: Exception) -> None:
        signal = signal_of(because)
        if signal is not None:
            self._report(signal)

    def _note_hole(self, cause: Exception | None) -> None:
        """Remember since when, and why, nothing is received."""
        self._hole = (cause, time.time(), self._loop.time())

    def _note_latency(self, wire: Wire) -> None:
        if wire.watchman.latency is not None:
            self.latency = wire.watchman.latency

    def _complain(self, handler: str, complaint: Exception | None) -> None:
        """Report that a callable of the user's failed, and was passed over."""
        if complaint is not None:
            logger.error("%s raised %s", handler, type(complaint).__name__)
            self._report(
                HandlerFailed(handler=handler, event="Ending", because=complaint)
            )

    # What the parts ask of the supervisor.

    def _is_answer(self, message: Message) -> bool:
        """Ask the user's ``is_answer``, which may fail but must not break the wire."""
        is_answer = self._settings.liveness.is_answer
        try:
            return is_answer is not None and bool(is_answer(message))
        except Fatal as fatal:
            self.fail(fatal)
        except Exception as failure:  # noqa: BLE001 - the user's own, reported
            self._complain("is_answer", failure)
        return False

    def _slept(self, seconds: float) -> None:
        """Find out at once whether the link outlived the machine's sleep."""
        logger.info("The machine slept for %.0f s, or its clock was set", seconds)
        if self.wire is not None:
            self.wire.watchman.suspect()
        if self.life.state is State.BACKOFF:
            self.orders.give(RetryNow())

    def check_not_restoring(self) -> None:
        """Raise where a wait could never end: inside this session's ``on_open``."""
        connection = restoring.get()
        if connection is not None and connection.restoring and self._hook is not None:
            msg = (
                "inside on_open nothing of the session moves; use "
                "connection.send() and connection.receive(matching=...)"
            )
            raise RuntimeError(msg)

    async def _unless_ordered(self, work: Coroutine[object, object, T]) -> T | None:
        """Do some work in a task of its own; an order cancels it and gives ``None``."""
        task = self._loop.create_task(work)
        try:
            await self.orders.first(task)
            finished = task.done()
        finally:
            await _cancelled(task)
        return task.result() if finished else None


async def _run_hook(hook: OnOpen | None, connection: Connection) -> None:
    """Run ``on_open`` where it can be told from other code of the user's."""
    if hook is None:
        return
    restoring.set(connection)
    result: object = hook(connection)
    if not inspect.isawaitable(result):
        msg = "on_open must be an async function; it returned something else"
        raise Fatal(msg)
    await result


async def _cancelled(task: asyncio.Task[T]) -> None:
    """Cancel a task and wait until it has ended; log one that will not."""
    if task.done():
        return
    task.cancel()
    _, running = await asyncio.wait({task}, timeout=CANCEL_GRACE)
    if running:
        logger.warning("%s goes on although it was cancelled", task.get_name())
