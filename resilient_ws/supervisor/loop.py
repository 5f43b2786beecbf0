"""The one loop: run a connection, judge its end, wait, and again.

Rules: the supervisor owns every task of the session. It alone decides what follows the
end of a connection. Users steer it with commands (end the session, replace the
connection, retry now): a command is stored, wakes the loop, and is carried out where
the loop stands. The loop is never cancelled, so it always comes to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from resilient_ws.errors import Fatal, StoreError, mistake
from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.events import RetryScheduled, SessionClosed
from resilient_ws.inbox import InboxQueue
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.policy.recovery import Recovery, Surrender
from resilient_ws.policy.retry_delay import RetryDelay
from resilient_ws.policy.tracebacks import by_the_user, where_raised, without_frames
from resilient_ws.state import State
from resilient_ws.supervisor.commands import Commands, EndSession, RetryNow
from resilient_ws.supervisor.current_connection import CurrentConnection
from resilient_ws.supervisor.dispatcher import Dispatcher
from resilient_ws.supervisor.event_log import EventLog
from resilient_ws.supervisor.journal import Journal
from resilient_ws.supervisor.log import SessionLog
from resilient_ws.supervisor.restorer import Restorer


if TYPE_CHECKING:
    from resilient_ws.eventloop.affinity import Home
    from resilient_ws.events import Event
    from resilient_ws.policy.failures import Ending
    from resilient_ws.settings import Settings
    from resilient_ws.statistics import Statistics
    from resilient_ws.supervisor.callbacks import Callbacks
    from resilient_ws.supervisor.lifecycle import Lifecycle
    from resilient_ws.transport.wire import Wire


class Supervisor:
    """Runs one session, from entering it to its end."""

    __slots__ = (
        "_connection",
        "_dispatcher",
        "_event_log",
        "_log",
        "_loop",
        "_recovery",
        "_task",
        "commands",
        "home",
        "inbox",
        "journal",
        "life",
        "outbox",
        "restorer",
    )

    def __init__(
        self, settings: Settings, callbacks: Callbacks, life: Lifecycle, *, home: Home
    ) -> None:
        self.life = life
        self.home = home
        self._loop = loop = home.loop
        # Bound once, because each bound method takes 64 bytes.
        clock, report, fail = loop.time, self._report, self.fail
        self._log = log = SessionLog(settings.name, clock=clock)
        self._event_log = EventLog(log)
        self.commands = Commands(loop, log)
        self.journal = Journal(log=log, clock=clock, report=report)
        self.inbox = InboxQueue(
            settings.inbox, loop=loop, wall=time.time, report=report
        )
        self.outbox = OutboxQueue(
            settings.outbox, loop=loop, report=report, check_waiting=self._check_waiting
        )
        self.restorer = Restorer(settings, commands=self.commands, log=log, loop=loop)
        self._dispatcher = Dispatcher(
            callbacks,
            self.inbox,
            session=settings.name,
            log=log,
            loop=loop,
            on_fatal=fail,
        )
        self._recovery = Recovery(
            settings.reconnect, members=settings.members, now=clock()
        )
        self._connection = CurrentConnection(
            settings,
            commands=self.commands,
            life=self.life,
            move_to=self._move_to,
            journal=self.journal,
            recovery=self._recovery,
            inbox=self.inbox,
            outbox=self.outbox,
            restorer=self.restorer,
            log=log,
            loop=loop,
            report=report,
            on_fatal=fail,
        )
        self._task: asyncio.Task[None] | None = None

    # What the session asks of it.

    def start(self) -> None:
        """Start the loop in a task, and the callbacks in another if there are any."""
        self.run_callbacks()
        self._task = self._loop.create_task(self._run(), name="resilient_ws session")

    def run_callbacks(self) -> None:
        """Start the dispatcher once there are callbacks to run."""
        self._dispatcher.start()

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
        own = (self.restorer.task, *self._dispatcher.tasks, self._task)
        return task is not None and task in own

    @property
    def wire(self) -> Wire | None:
        """The wire of the current connection, if there is one."""
        return self._connection.wire

    def statistics(self) -> Statistics:
        """Return a snapshot of the session's counters."""
        return self.journal.counters.statistics(
            self.life.state,
            now=self._loop.time(),
            wire=self.wire,
            inbox=self.inbox,
            outbox=self.outbox,
            events_discarded=self._dispatcher.discarded,
        )

    # Commands.

    def retry_now(self) -> None:
        """Make the next attempt now if the session waits for it."""
        if self.life.state is State.BACKOFF:
            self.commands.give(RetryNow())

    def close(self, command: EndSession) -> None:
        """End the session, and accept no more messages for sending."""
        self.commands.give(command)
        self.outbox.refuse(command.failure)

    def fail(self, failure: Exception) -> None:
        """End the session because of a failure, without draining the outbox."""
        self.close(EndSession(failure=without_frames(failure), drain=0))

    def abort(self) -> None:
        """End the session now, without a word to the peer."""
        self.close(EndSession(drain=0))
        # The command ends every wait of the loop but those for the peer, and those end
        # with the transport.
        self._connection.abort()
        self._dispatcher.abort()

    def abandon(self) -> bool:
        """End the session because its owner dropped it; return whether it was running.

        May be called from any thread, and after the loop was closed.
        """
        ends = self.done or self.commands.end_session is not None
        if ends or not self.home.in_this_process:
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._abandoned)
        return True

    def _abandoned(self) -> None:
        self._log.say(
            logging.WARNING, "the session was dropped without close(), so it ends"
        )
        self.close(EndSession(drain=0))

    # The loop.

    async def _run(self) -> None:
        """Run the session in its task, whatever happens."""
        failure: Exception | None = None
        ticker = ticker_of(self._loop)
        ticker.subscribe(self._slept)
        try:
            await self.outbox.open()
            failure = await self._supervise()
        except StoreError as refused:
            failure = without_frames(refused)
        except Exception as bug:  # noqa: BLE001 - logged, and raised to all who wait
            failure = self._log_bug(bug)
        finally:
            ticker.unsubscribe(self._slept)
            # A loop that was closed beneath the session can finish nothing.
            if not self._loop.is_closed():
                await self._end(failure)

    async def _supervise(self) -> Exception | None:
        """Connect again and again; return the failure that ends this, if one does."""
        while (command := self.commands.end_session) is None:
            # Nested, so that no local variable keeps an ending for weeks.
            decision = self._decide(await self._connection.run())
            if isinstance(decision, Surrender):
                return decision.failure
            await self._back_off(decision)
        return command.failure

    def _decide(self, ending: Ending | None) -> RetryDelay | Surrender:
        """Decide what follows a connection: another one after a delay, or the end.

        Args:
            ending: Why the connection ended, ``None`` if a command ended it.
        """
        command = self.commands.end_session
        if command is not None:
            return Surrender(command.failure)
        if ending is None:
            return RetryDelay(0.0, "request")
        now = self._loop.time()
        judgement = self._recovery.judge(ending, now=now, now_wall=time.time())
        if judgement.complaint is not None:
            self.journal.complain("classify", "Ending", judgement.complaint)
        try:
            return self._recovery.after(judgement, now=now)
        except Exception as bug:  # noqa: BLE001 - logged and told
            return Surrender(self._log_policy_mistake(bug))

    async def _back_off(self, delay: RetryDelay) -> None:
        """Wait until the next attempt is due, or a command ends the wait."""
        until = self._loop.time() + delay.seconds
        because = self._recovery.because
        self._move_to(State.BACKOFF, because=because, retry_in=delay.seconds)
        self._report(
            RetryScheduled(
                delay=delay.seconds,
                attempt=self._recovery.attempt,
                because=because,
                source=delay.source,
            )
        )
        await self.commands.run_until_command(self._connection.release())
        while self.commands.pending is None and self._loop.time() < until:
            await self.commands.wait_for_command(timeout=until - self._loop.time())

    def _log_policy_mistake(self, bug: Exception) -> Fatal:
        """Log that the user's wait or stop raised, and return the failure."""
        what = f"Reconnect.wait or Reconnect.stop raised {type(bug).__name__}"
        line = ("the session ends: %s", what)
        self._log.say(logging.ERROR, *line, exc_info=by_the_user(bug))
        failure = mistake(what)
        failure.__cause__ = without_frames(bug)
        return failure

    def _log_bug(self, bug: Exception) -> Fatal:
        """Log a bug of ours, and return the failure that ends the session."""
        # Only as text: log handlers keep the frames of exc_info, and their secrets.
        kind = type(bug).__name__
        self._log.say(
            logging.CRITICAL,
            "the session ends because of a bug, a %s:\n%s",
            kind,
            where_raised(bug),
        )
        return Fatal(
            f"The session ended because of a bug in resilient_ws ({kind}). Please "
            "report it, with the traceback from the log."
        )

    async def _end(self, failure: Exception | None) -> None:
        """Close every socket, end every task and wake everyone who waits."""
        if not self.life.state.ending:
            self._move_to(State.CLOSING, because=failure)
        self.outbox.refuse(failure)
        await self._connection.close()
        dropped, stored = await self.outbox.close()
        self.inbox.finish(failure)
        self._move_to(State.CLOSED, because=failure)
        self._report(
            SessionClosed(
                close=self.journal.close_record,
                failure=failure,
                dropped=dropped,
                stored=stored,
            )
        )
        await self._dispatcher.finish()

    # What the parts and the sleep ticker call.

    def _move_to(
        self,
        state: State,
        *,
        because: Exception | None = None,
        retry_in: float | None = None,
    ) -> None:
        """Move the session to a state, and report it."""
        self.journal.counters.left(self.life.state, self._loop.time())
        self._report(self.life.move_to(state, because=because, retry_in=retry_in))

    def _report(self, event: Event) -> None:
        """Log an event, and hand it to the callbacks."""
        self._event_log.write(event)
        self._dispatcher.post(event)

    def _slept(self, seconds: float) -> None:
        """Probe the link at once: it may not have survived the machine's sleep."""
        text = "the machine slept for %.0f s, or its clock was set"
        self._log.say(logging.INFO, text, seconds)
        self._connection.suspect(seconds)
        self.retry_now()

    def _check_waiting(self) -> None:
        """Raise ``RuntimeError`` where a caller may not wait for a delivery."""
        self.home.check()
        self.restorer.check_outside()
