"""The user of a plan: a session, callbacks, and actors that act at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    Inbox,
    Liveness,
    Outbox,
    Reconnect,
    ResilientWSError,
    State,
    Timeouts,
)
from resilient_ws.supervisor.dispatcher import Dispatcher
from resilient_ws.supervisor.wiring import new_wire
from resilient_ws.testing.frames import PONG, close_frame, frame, message
from tests.record import now, turns
from tests.session.interleaving.reacting import Reacting
from tests.session.interleaving.record import Accepted, Record
from tests.session.interleaving.taps import tapped, timers_of_the_library


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from resilient_ws import Connection, Event, Interruption, Session
    from resilient_ws.settings import Attempt
    from resilient_ws.testing import ScriptedServer
    from resilient_ws.transport.wire import Wire
    from tests.session.interleaving.plans import Doing, UserPlan
    from tests.session.interleaving.server_side import ServerSide

TIMEOUTS: Final = Timeouts(open=3, restore=3, close=2)
LIVENESS: Final = Liveness(ping_interval=2, ping_timeout=2)

#: Seconds that the session stays for what the server still has to do.
PATIENCE: Final = 30.0

#: More than a scripted server that has stopped reading takes off the client's hands.
LARGE: Final = 200_000

OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "send large": {"size": LARGE},
    "send for a moment": {"ttl": 0.4},
    "send if open": {"only_if_open": True},
}

_OCCASIONS: Final = {
    "opened": resilient_ws.ConnectionOpened,
    "dropped": resilient_ws.ConnectionDropped,
    "failed": resilient_ws.AttemptFailed,
    "state": resilient_ws.StateChanged,
}


class UserSide:
    """The user: a session, callbacks, and actors that act at the same time."""

    def __init__(
        self,
        plan: UserPlan,
        server: ScriptedServer,
        script: ServerSide,
        record: Record,
    ) -> None:
        self._plan = plan
        self._server = server
        self._script = script
        self._record = record
        self._attempts = itertools.count(1)
        self._numbers = itertools.count(1)
        self._wires: list[Wire] = []
        self._written: list[str | bytes] = []
        self._restores = iter(plan.restores)
        self._session = self._connect()
        self._stream: AsyncIterator[str | bytes | Interruption] | None = None

    def _connect(self) -> Session:
        plan = self._plan
        return resilient_ws.connect(
            self._next_url,
            wait_open=False,
            on_open=self._restore if plan.restores else None,
            timeouts=TIMEOUTS,
            liveness=LIVENESS,
            inbox=Inbox(max_messages=plan.max_messages, overflow=plan.overflow),
            outbox=Outbox(max_messages=plan.outbox_messages, overflow=plan.outbox),
            reconnect=Reconnect(
                wait=wait_fixed(plan.wait),
                stable_after=plan.stable_after,
                max_age=plan.max_age,
                rng=random.Random(1),
            ),
        )

    def _next_url(self, _: Attempt | None = None) -> str:
        return self._server.url(f"/{next(self._attempts)}")

    async def play(self) -> None:
        session, record = self._session, self._record
        self._watch()
        async with self._tapped(), session:
            self._stream = session.with_interruptions()
            reader = asyncio.create_task(self._read_on())
            if not self._plan.reads_always:
                reader.cancel()
            acting = [
                asyncio.create_task(self._act(str(place), doings))
                for place, doings in enumerate(self._plan.actors)
            ]
            for task in acting:
                await task
            await self._outlast_the_server()
            began = now()
        record.closing_took = now() - began
        record.timers = timers_of_the_library()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
        await self._read_on()
        record.statistics = session.statistics()

    async def _outlast_the_server(self) -> None:
        """Stay until every plan of the server was played, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._script.finished.wait()

    def _watch(self) -> None:
        """Register the callbacks of the plan, and one that notes what callbacks get."""
        record = self._record
        self._session.on(resilient_ws.Event, record.heard.append)
        for occasion, reaction in self._plan.reactions:
            self._session.on(
                _OCCASIONS[occasion],
                Reacting(reaction, self._session, record, self.send),
            )

    @contextlib.asynccontextmanager
    async def _tapped(self) -> AsyncIterator[None]:
        """Note each event when it is reported, and what each connection is handed."""
        record, post = self._record, Dispatcher.post

        def note(dispatcher: Dispatcher, event: Event) -> None:
            record.reported.append(event)
            if isinstance(event, resilient_ws.ConnectionOpened):
                record.written[event.epoch] = self._written
            post(dispatcher, event)

        def tap(*args: Any, **options: Any) -> Wire:
            wire = new_wire(*args, **options)
            self._wires.append(wire)
            self._written = tapped(wire.outgoing)
            return wire

        place = "resilient_ws.supervisor.current_connection.new_wire"
        with mock.patch.object(Dispatcher, "post", note), mock.patch(place, tap):
            yield

    # on_open.

    async def _restore(self, connection: Connection) -> None:
        what = next(self._restores, "nothing")
        attempt = int(connection.endpoint.rpartition("/")[2])
        if what == "send":
            self._record.greeted.add(attempt)
            await connection.send(f"hello {attempt}")
        elif what == "receive":
            message = await connection.receive()
            self._record.taken.setdefault(attempt, []).append(message)
        elif what == "sleep":
            await asyncio.sleep(1)
        elif what == "raise":
            raise ValueError(attempt)
        elif what == "close":
            await self._session.close()
        elif what == "send by session":
            await self.send("hook")

    # Reading.

    async def _read_on(self) -> None:
        await self._read(None)

    async def _read(self, count: int | None) -> None:
        assert self._stream is not None
        with contextlib.suppress(StopAsyncIteration, ResilientWSError):
            for _ in itertools.repeat(None) if count is None else range(count):
                self._record.items.append(await anext(self._stream))

    # Acting.

    async def _act(self, actor: str, doings: Sequence[Doing]) -> None:
        for doing in doings:
            await asyncio.sleep(doing.after)
            if doing.what.startswith("send"):
                await self._send_some(actor, doing)
            elif doing.what == "read":
                if actor == "0" and not self._plan.reads_always:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await self._read(doing.count)
            elif doing.what == "turns":
                await turns(doing.count)
            elif doing.what == "poke":
                self._poke(doing.count)
            else:
                with contextlib.suppress(ResilientWSError):
                    await self._steer(doing.what)

    async def _steer(self, what: str) -> None:
        session = self._session
        if what == "reconnect":
            session.reconnect("an actor wants it")
        elif what == "reconnect elsewhere":
            session.reconnect("an actor wants it elsewhere", self._next_url())
        elif what == "retry now":
            session.retry_now()
        elif what == "close":
            await session.close()

    async def _send_some(self, actor: str, doing: Doing) -> None:
        if doing.what == "send and cancel":
            task = asyncio.create_task(self.send(actor, size=LARGE))
            await turns(doing.count)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return
        options = OPTIONS.get(doing.what, {})
        for _ in range(doing.count):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self.send(actor, **options)

    async def send(self, sender: str, *, size: int = 0, **options: Any) -> None:
        """Send one message, and note what became of the call."""
        text = f"{sender}.{next(self._numbers)}.".ljust(size, ".")
        began = now()
        may_wait = self._session.state is State.OPEN or self._plan.outbox == "wait"
        try:
            delivery = await self._session.send(text, **options)
        except BaseException as failure:
            self._record.refused.append(text)
            if not isinstance(failure, ResilientWSError):
                raise
        else:
            self._record.accepted.append(Accepted(text, sender, delivery))
        finally:
            if now() > began and not may_wait:
                self._record.delayed.append(text)

    def _poke(self, count: int) -> None:
        """Call a connection that is over, as its transport might, or the machine's sleep."""
        stale = [w for w in self._wires if w._gone.done() and w is not self._wire()]
        for wire in stale[-count:]:
            before = self._standing()
            stale_bytes = message("stale") + frame(PONG, b"") + close_frame(1001)
            wire.get_buffer(-1)[: len(stale_bytes)] = stale_bytes
            wire.buffer_updated(len(stale_bytes))
            wire.pause_writing()
            wire.resume_writing()
            wire.keepalive.take_control_frames(wire.engine.receiver.pongs)
            wire.keepalive.resumed()
            wire.keepalive.suspect()
            wire._closing.farewell()
            wire.eof_received()
            wire.connection_lost(ConnectionResetError())
            wire.abort()
            after = self._standing()
            if after != before:
                self._record.disturbed.append(f"{before} became {after}")

    def _wire(self) -> Wire | None:
        supervisor: Any = self._session._supervisor
        return supervisor.wire  # type: ignore[no-any-return]

    def _standing(self) -> tuple[object, ...]:
        """What a stale callback may not change."""
        session, wire = self._session, self._wire()
        figures = session.statistics()
        return (
            session.state,
            session.epoch,
            session.latency,
            figures.messages_received,
            figures.inbox_messages,
            figures.drops,
            len(self._record.reported),
            wire
            and (wire.ended.done(), wire.incoming.paused, wire.outgoing.writable()),
            wire and wire.engine.close_sent,
        )
