"""The current connection of a session, from the dial to the hang-up.

Rules: a session has at most one connection at a time. ``run`` is its whole life: it
dials, restores, opens and holds the connection, and returns why it ended. Every end
leaves by that one exit: a failed dial, a failed ``on_open``, a close by the peer, a
reset, silence, a write error, a protocol error. A command that ends the connection
leaves by it too, as ``None``. What follows is for the supervisor to decide.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import ConnectionLost, ResilientWSError
from resilient_ws.events import ConnectionTimedOut
from resilient_ws.inbox.restore_buffer import RestoreBuffer
from resilient_ws.policy.silence import Silence
from resilient_ws.settings import Attempt
from resilient_ws.state import State
from resilient_ws.supervisor.commands import Replace
from resilient_ws.supervisor.dialler import Dialler
from resilient_ws.supervisor.milestones import Milestones
from resilient_ws.supervisor.wiring import new_wire


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.outbox.queue import OutboxQueue
    from resilient_ws.policy.failures import Ending
    from resilient_ws.policy.recovery import Recovery
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Settings
    from resilient_ws.supervisor.commands import Commands
    from resilient_ws.supervisor.journal import Journal
    from resilient_ws.supervisor.lifecycle import Lifecycle
    from resilient_ws.supervisor.log import SessionLog
    from resilient_ws.supervisor.restorer import Restorer
    from resilient_ws.transport.wire import Wire


#: The share of ``timeouts.close`` that is reserved for the closing handshake, so that a
#: slow outbox cannot use up all of it.
HANDSHAKE_SHARE: Final = 0.2


class CurrentConnection:
    """Makes the connections of a session, one after the other, and runs each."""

    __slots__ = (
        "_commands",
        "_dialler",
        "_inbox",
        "_journal",
        "_life",
        "_log",
        "_loop",
        "_move_to",
        "_on_fatal",
        "_outbox",
        "_recovery",
        "_report",
        "_restorer",
        "_settings",
        "_silence",
        "_wire",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        commands: Commands,
        life: Lifecycle,
        move_to: Callable[..., None],
        journal: Journal,
        recovery: Recovery,
        inbox: InboxQueue,
        outbox: OutboxQueue,
        restorer: Restorer,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._life = life
        self._move_to = move_to
        self._journal = journal
        self._recovery = recovery
        self._inbox = inbox
        self._outbox = outbox
        self._restorer = restorer
        self._log = log
        self._loop = loop
        self._report = report
        self._on_fatal = on_fatal
        self._dialler = Dialler(settings, log=log, loop=loop, report=report)
        self._silence = Silence(restores=settings.on_open is not None)
        self._wire: Wire | None = None

    @property
    def wire(self) -> Wire | None:
        """The wire of the connection, ``None`` while there is none."""
        return self._wire

    async def run(self) -> Ending | None:
        """Run one connection, from the dial to the hang-up. ``release`` must follow.

        Returns:
            Why it ended, or why it never opened; ``None`` if a command ended it.
        """
        # A step of its own, so that the frames and buffers of dialling are freed while
        # the connection is open.
        milestones = await self._open()
        if not isinstance(milestones, Milestones):
            return milestones
        wire = milestones.wire
        while not wire.ended.done() and self._commands.pending is None:
            due_in = milestones.pass_due(now=self._loop.time())
            await self._commands.wait_for_command(or_done=[wire.ended], timeout=due_in)
        milestones.end(now=self._loop.time())
        if wire.ended.done():
            return self._dropped(wire, milestones.opened_at)
        await self._leave(wire, milestones.opened_at)
        return None

    async def _open(self) -> Milestones | Ending | None:
        """Dial, restore and open a connection.

        Returns:
            The milestones of the open connection, or why there is none; ``None`` if a
            command ended it.
        """
        began = self._loop.time()
        command = self._commands.take()
        attempt = self._next_attempt()
        buffer = RestoreBuffer(self._settings.inbox)
        wire = self._wire = self._new_wire(buffer)
        self._move_to(State.CONNECTING)
        url = command.url if isinstance(command, Replace) else None
        dial = self._dialler.dial(wire, attempt, member=self._recovery.member, url=url)
        try:
            negotiated = await self._commands.run_until_command(dial)
        except ResilientWSError as failure:
            if self._commands.end_session is not None:
                # Not a failure: the dial was cancelled because the session ends.
                return None
            return self._attempt_failed(attempt, failure, began)
        if negotiated is None:
            return None
        because = await self._restore(wire, buffer, negotiated)
        if because is not None:
            return self._attempt_failed(attempt, because, began)
        if self._commands.pending is not None:
            await self._hang_up(wire)
            return None
        return self._begin(wire, buffer, negotiated, began)

    def _next_attempt(self) -> Attempt:
        self._journal.counters.count_attempt()
        recovery = self._recovery
        return Attempt(
            number=recovery.attempt,
            epoch=self._journal.epoch + 1,
            because=recovery.because,
            fresh=recovery.fresh,
        )

    def _new_wire(self, buffer: RestoreBuffer) -> Wire:
        return new_wire(
            self._settings,
            buffer,
            epoch=self._journal.epoch + 1,
            loop=self._loop,
            report=self._report,
            acknowledge=self._outbox.acknowledge,
            complain=self._journal.complain,
            on_fatal=self._on_fatal,
        )

    async def _restore(
        self, wire: Wire, buffer: RestoreBuffer, negotiated: Negotiated
    ) -> Exception | None:
        """Run ``on_open``; return the failure of it or of its connection, if any."""
        endpoint = self._dialler.where
        self._log.set_endpoint(endpoint)
        self._move_to(State.RESTORING)
        return await self._restorer.restore(
            wire,
            buffer,
            negotiated,
            epoch=self._journal.epoch + 1,
            endpoint=endpoint,
        )

    def _attempt_failed(
        self, attempt: Attempt, because: Exception, began: float
    ) -> Ending:
        endpoint = self._dialler.where
        self._log.set_endpoint(endpoint)
        return self._journal.report_failed_attempt(
            attempt, endpoint, because, state=self._life.state, began=began
        )

    def _begin(
        self,
        wire: Wire,
        buffer: RestoreBuffer,
        negotiated: Negotiated,
        began: float,
    ) -> Milestones:
        """Let messages flow, in one step that nothing can interrupt."""
        resumed_after = self._journal.begin_epoch(self._inbox)
        self._recovery.note_open()
        self._move_to(State.OPEN)
        where = self._dialler.where
        self._journal.report_open(where, negotiated, resumed_after, began=began)
        # After the event: messages of the restore phase count as received from now on.
        buffer.join(self._inbox)
        confirms = self._settings.outbox.confirm != "write"
        wire.attach(
            self._inbox,
            on_writable=self._outbox.resume,
            on_confirmed=partial(self._outbox.note_pong, wire.outgoing)
            if confirms
            else None,
        )
        # A callback, because messages may be sent before ``run`` wakes.
        wire.ended.add_done_callback(partial(self._detach, wire))
        self._outbox.attach(
            wire.outgoing, wire.keepalive.ping, epoch=self._journal.epoch
        )
        return Milestones(
            wire,
            self._settings.reconnect,
            self._silence,
            commands=self._commands,
            journal=self._journal,
            recovery=self._recovery,
            now=self._loop.time(),
        )

    def _detach(self, wire: Wire, because: asyncio.Future[ConnectionLost]) -> None:
        self._outbox.detach(wire.outgoing, because.result())

    def _dropped(self, wire: Wire, opened_at: float) -> Ending:
        """Report the loss of the open connection."""
        # If it was lost before it was open, its callback has not run yet.
        self._detach(wire, wire.ended)
        return self._journal.report_drop(
            wire,
            wire.ended.result(),
            opened_at,
            self._inbox,
            suspected=self._outbox.suspected,
        )

    async def _leave(self, wire: Wire, opened_at: float) -> None:
        """End the open connection because of a command."""
        command = self._commands.pending
        if not isinstance(command, Replace):
            await self._hang_up(wire)
            return
        why = f"The connection is replaced: {command.reason}."
        because = ConnectionLost(why, how="local")
        self._recovery.note_replaced(because, now=self._loop.time())
        await self._hang_up(wire, command.code)
        self._journal.report_replacement(wire, command.reason, opened_at, self._inbox)

    async def _hang_up(self, wire: Wire, code: int = 1000) -> None:
        """Close the connection; if the session ends, drain the outbox first."""
        end = self._commands.end_session
        limit = self._settings.timeouts.close
        if end is not None:
            limit += end.drain or 0.0
            self._move_to(State.CLOSING, because=end.failure)
        reason = ""
        if end is not None:
            code, reason = end.code, end.reason
        try:
            async with asyncio.timeout(limit):
                if end is not None and end.drain != 0:
                    reserved = HANDSHAKE_SHARE * self._settings.timeouts.close
                    await self._outbox.drain(limit - reserved, limit / 2)
                self._outbox.halt(wire.outgoing)
                await wire.close(code, reason, discard=end is not None)
                await wire.finish()
        except TimeoutError:
            if not wire.ended.done():
                self._report(ConnectionTimedOut(kind="close", after=limit))
        finally:
            self._outbox.detach(wire.outgoing)
            wire.abort()
            self._journal.keep_close(wire)

    # What the supervisor does with the connection.

    def suspect(self, seconds: float) -> None:
        """Probe the connection at once; the machine slept for ``seconds``."""
        if self._wire is not None:
            self._journal.counters.note_sleep(self._wire, self._loop.time(), seconds)
            self._wire.keepalive.suspect()

    def abort(self) -> None:
        """End the connection now, without a word to the peer."""
        if self._wire is not None:
            self._wire.abort()

    async def release(self) -> None:
        """Free the ended connection's socket, and count what the connection carried.

        Cancellation:
            Does not wait for the peer to hang up, and aborts at once.
        """
        wire = self._wire
        if wire is not None:
            try:
                await wire.finish()
            finally:
                self._wire = None
                self._journal.counters.add(wire, self._loop.time())

    async def close(self) -> None:
        """Release the connection, and what the dials have shared."""
        await self.release()
        await self._dialler.close()
