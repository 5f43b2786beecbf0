"""Checks the liveness of one wire: asks ``Watch`` when due, and does what it answers.

Rules: there is one timer, re-armed after every check; received bytes only postpone the
next check, so they re-arm nothing. A verdict that is due waits two more turns of the
loop with reading on, because a pong already in the kernel is read only in the turn
after the next.
"""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING

from resilient_ws.errors import LivenessTimeout
from resilient_ws.events import LoopLagged, PongReceived
from resilient_ws.policy.liveness import Action, Pings
from resilient_ws.policy.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.policy.liveness import Liveness, Watch
    from resilient_ws.protocol.message import Message
    from resilient_ws.transport.wire import Wire


#: Random bytes that tell the pings of one connection from those of any other.
NAME_SIZE = 8
#: The most unanswered pings that can be told apart.
MAX_PENDING = 1024


class Watchman:
    """Checks the liveness of one connection."""

    __slots__ = (
        "_confirmed",
        "_loop",
        "_marks",
        "_pings",
        "_policy",
        "_report",
        "_timer",
        "_waiting",
        "_watch",
        "_watching",
        "_wire",
        "latency",
        "on_passed",
        "probe",
    )

    def __init__(
        self,
        wire: Wire,
        watch: Watch,
        policy: Liveness,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._wire = wire
        self._watch = watch
        self._policy = policy
        self._loop = loop
        self._report = report
        self._pings = Pings(os.urandom(NAME_SIZE), max_pending=MAX_PENDING)
        #: For each pending ping: its ordinal, and how many messages preceded it.
        self._marks: list[tuple[int, int]] = []
        self._confirmed = 0
        #: For each caller of round_trip(): the ping's ordinal, its time, the result.
        self._waiting: list[tuple[int, float, asyncio.Future[float]]] = []
        self._timer: asyncio.Handle | None = None
        self._watching = False
        #: Makes a message to send in place of a ping. If it is ``None``, or returns
        #: ``None``, a ping is sent. Set by the supervisor.
        self.probe: Callable[[], Message | None] | None = None
        #: Called with the number of messages that pongs have confirmed.
        self.on_passed: Callable[[int], None] | None = None
        #: Seconds that the newest pong took, ``None`` before the first.
        self.latency: float | None = None

    @property
    def unconfirmed(self) -> int:
        """The number of messages written since the last answered ping."""
        return self._wire.outgoing.messages_written - self._confirmed

    def start(self) -> None:
        """Begin to watch."""
        self._watching = True
        self._watch.opened(self._loop.time())
        self._arm()

    def stop(self) -> None:
        """End the watch."""
        self._watching = False
        self._disarm()

    def resumed(self) -> None:
        """Take note that reading goes on after a pause of our own."""
        if self._watching:
            self._watch.resumed(self._loop.time())
            self._arm()

    def suspect(self) -> None:
        """Ping at once: the machine slept, and the link may be gone."""
        if self._watching:
            self._watch.suspect(self._loop.time())
            self._arm()

    def pong(self, payload: bytes) -> None:
        """Take note of a pong."""
        latency = self._pings.pong(payload, self._loop.time())
        if latency is None:
            return
        while self._marks and self._marks[0][0] <= self._pings.confirmed:
            self._confirmed = self._marks.pop(0)[1]
        self.latency = latency
        self._tell_waiting()
        self._report(PongReceived(latency=latency))
        if self.on_passed is not None:
            self.on_passed(self._confirmed)

    def ping(self) -> None:
        """Send a ping now; its pong confirms the messages written before it."""
        payload = self._pings.next(self._loop.time())
        self._marks.append((self._pings.newest, self._wire.outgoing.messages_written))
        del self._marks[:-MAX_PENDING]
        self._wire.outgoing.ping(payload)

    async def round_trip(self) -> float:
        """Send a ping now, and return the seconds until its pong, or a later one.

        Raises:
            ConnectionLost: The connection ended before the pong.

        Cancellation:
            Safe at any point: the ping stays sent, and its pong is not awaited.
        """
        self.ping()
        answer: asyncio.Future[float] = self._loop.create_future()
        entry = (self._pings.newest, self._loop.time(), answer)
        self._waiting.append(entry)
        ended = self._wire.ended
        try:
            await asyncio.wait((answer, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        if answer.done():
            return answer.result()
        raise without_frames(ended.result())

    def _tell_waiting(self) -> None:
        """Wake the callers whose ping, or a later one, has been answered."""
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= self._pings.confirmed:
            _, sent_at, answer = self._waiting.pop(0)
            if not answer.done():
                answer.set_result(now - sent_at)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._disarm()
        due = self._watch.due()
        if due < math.inf:
            self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now = self._loop.time()
        wire = self._wire
        late_by = max(0.0, now - due)
        action = self._watch.check(
            now,
            late_by=late_by,
            reading_paused=wire.incoming.paused,
            outgoing=wire.outgoing.unacknowledged,
            written=wire.outgoing.bytes_sent,
        )
        if late_by > self._watch.max_lag:
            self._report(LoopLagged(by=late_by))
        if action is Action.SETTLE:
            self._timer = self._loop.call_soon(self._settle)
            return
        if action is Action.PING:
            self._ask()
        elif action is Action.PONG:
            wire.outgoing.pong()
        if self._watching:
            self._arm()

    def _settle(self) -> None:
        """Wait one more turn: what this turn reads is handled after this callback."""
        # Also wait until everything that was read has been parsed.
        follow = self._settle if self._wire.incoming.catching_up else self._confirm
        self._timer = self._loop.call_soon(follow)

    def _confirm(self) -> None:
        now = self._loop.time()
        verdict = self._watch.confirm(now)
        if verdict is Action.DEAD_PING:
            self._wire.end(
                LivenessTimeout(
                    "The link is dead: no byte came back in "
                    f"{now - self._watch.heard_at:.1f} s.",
                    kind="ping",
                    after=now - self._watch.heard_at,
                )
            )
        elif verdict is Action.DEAD_IDLE:
            after = now - self._watch.message_at
            self._wire.hang_up(
                LivenessTimeout(
                    f"The link carried no message for {after:.1f} s, more than "
                    "Liveness.idle_timeout allows.",
                    kind="idle",
                    after=after,
                ),
                1001,
                "no message received for too long",
            )
        else:
            self._arm()

    def _ask(self) -> None:
        probe = None if self.probe is None else self.probe()
        if probe is None:
            self.ping()
        else:
            self._wire.outgoing.probe(probe)
