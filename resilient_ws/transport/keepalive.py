"""Keeps one connection under watch: pings, and ends it when it is dead or useless.

``policy.liveness.Watch`` decides; this asks it when an answer is due, and acts on it.

Rules: there is one timer, set again after every check. Received bytes only postpone the
next check, so they do not touch it. A verdict waits two more turns of the loop with
reading on, because a pong that is already in the kernel is read in the turn after next.
"""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import LivenessTimeout
from resilient_ws.events import LoopLagged, PongReceived
from resilient_ws.policy.liveness import Action, Watch
from resilient_ws.policy.pings import Pings
from resilient_ws.policy.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.errors import ConnectionLost
    from resilient_ws.events import Event
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.protocol.message import Message
    from resilient_ws.transport.outgoing import Outgoing
    from resilient_ws.transport.read_gate import ReadGate


#: Random bytes that tell the pings of one connection from those of any other.
NAME_SIZE: Final = 8


class Keepalive:
    """Pings the peer of one connection, and finds out when nothing comes back.

    Args:
        liveness: When to ping, and when to give up.
        outgoing: Sends the pings.
        gate: Says whether the connection is being read.
        ended: Completed with why the connection ended.
        loop: The connection's loop.
        make_probe: Makes a message to send in place of a ping. A ping is sent if this
            is ``None`` or returns ``None``.
        on_silence: Called with the error to end the connection with.
        report: Called with each event.

    Attributes:
        latency: Seconds that the newest pong took, ``None`` before the first.
        watch: Decides what to do. It must be told when bytes and messages arrive.
    """

    __slots__ = (
        "_ended",
        "_gate",
        "_loop",
        "_make_probe",
        "_on_confirmed",
        "_on_silence",
        "_outgoing",
        "_pings",
        "_report",
        "_timer",
        "_waiting",
        "_watching",
        "latency",
        "watch",
    )

    def __init__(
        self,
        liveness: Liveness,
        outgoing: Outgoing,
        gate: ReadGate,
        ended: asyncio.Future[ConnectionLost],
        loop: asyncio.AbstractEventLoop,
        *,
        make_probe: Callable[[], Message | None] | None,
        on_silence: Callable[[LivenessTimeout], None],
        report: Callable[[Event], None],
    ) -> None:
        self.latency: float | None = None
        self.watch = Watch(liveness)
        self._outgoing = outgoing
        self._gate = gate
        self._make_probe = make_probe
        self._on_silence = on_silence
        self._ended = ended
        self._loop = loop
        self._report = report
        self._on_confirmed: Callable[[int], None] | None = None
        self._pings = Pings(os.urandom(NAME_SIZE))
        #: For each caller of round_trip(): the ping's ordinal, its time, the result.
        self._waiting: list[tuple[int, float, asyncio.Future[float]]] = []
        self._timer: asyncio.Handle | None = None
        self._watching = False

    def attach(self, on_confirmed: Callable[[int], None] | None) -> None:
        """Call this with the number of messages confirmed, after each pong."""
        self._on_confirmed = on_confirmed

    @property
    def unconfirmed(self) -> int:
        """The number of messages written since the newest ping that was answered."""
        return self._outgoing.messages_written - self._pings.passed

    # The watch.

    def start(self) -> None:
        """Begin to watch the connection."""
        self._watching = True
        self.watch.opened(self._loop.time())
        self._set_timer()

    def stop(self) -> None:
        """End the watch."""
        self._watching = False
        self._cancel_timer()

    def resumed(self) -> None:
        """Note that reading goes on after it was paused for want of room."""
        if self._watching:
            self.watch.resumed(self._loop.time())
            self._set_timer()

    def suspect(self) -> None:
        """Ping at once: the machine slept, and the connection may be dead."""
        if self._watching:
            self.watch.suspect(self._loop.time())
            self._set_timer()

    # Pings and pongs.

    def ping(self) -> None:
        """Send a ping now; its pong confirms the messages written before it."""
        outgoing = self._outgoing
        now = self._loop.time()
        outgoing.ping(self._pings.next(now, written=outgoing.messages_written))

    def take_control_frames(self, pongs: list[bytes]) -> None:
        """Take the received pongs, and answer the received pings."""
        for payload in pongs:
            self._take_pong(payload)
        pongs.clear()
        self._outgoing.answer_pings()

    def _take_pong(self, payload: bytes) -> None:
        latency = self._pings.pong(payload, self._loop.time())
        if latency is None:
            return
        self.latency = latency
        self._wake_waiting()
        self._report(PongReceived(latency=latency))
        if self._on_confirmed is not None:
            self._on_confirmed(self._pings.passed)

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
        try:
            await asyncio.wait(
                (answer, self._ended), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        if answer.done():
            return answer.result()
        raise without_frames(self._ended.result())

    def _wake_waiting(self) -> None:
        """Wake the callers whose ping, or a later one, has been answered."""
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= self._pings.confirmed:
            _, sent_at, answer = self._waiting.pop(0)
            if not answer.done():
                answer.set_result(now - sent_at)

    def _ping_or_probe(self) -> None:
        probe = None if self._make_probe is None else self._make_probe()
        if probe is None:
            self.ping()
        else:
            self._outgoing.probe(probe)

    # The timer.

    def _set_timer(self) -> None:
        self._cancel_timer()
        due = self.watch.due()
        if due < math.inf:
            self._timer = self._loop.call_at(due, self._check, due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, due: float) -> None:
        """Do what is due."""
        now = self._loop.time()
        late_by = max(0.0, now - due)
        action = self.watch.check(
            now,
            late_by=late_by,
            reading_paused=self._gate.paused,
            outgoing=self._outgoing.unacknowledged,
            written=self._outgoing.bytes_sent,
        )
        if late_by > self.watch.max_lag:
            self._report(LoopLagged(by=late_by))
        if action is Action.SETTLE:
            self._timer = self._loop.call_soon(self._settle)
            return
        if action is Action.PING:
            self._ping_or_probe()
        elif action is Action.PONG:
            self._outgoing.pong()
        if self._watching:
            self._set_timer()

    def _settle(self) -> None:
        """Wait one more turn: what this turn reads is processed after this callback."""
        # Also wait until everything that was read has been processed.
        follow = self._settle if self._gate.catching_up else self._confirm
        self._timer = self._loop.call_soon(follow)

    def _confirm(self) -> None:
        """End the connection if it is still silent."""
        now = self._loop.time()
        verdict = self.watch.confirm(now)
        if verdict is Action.DEAD_PING:
            after = now - self.watch.heard_at
            text = f"The link is dead: no byte came back in {after:.1f} s."
            self._on_silence(LivenessTimeout(text, kind="ping", after=after))
        elif verdict is Action.DEAD_IDLE:
            after = now - self.watch.message_at
            text = (
                f"The link carried no message for {after:.1f} s, more than "
                "Liveness.idle_timeout allows."
            )
            self._on_silence(LivenessTimeout(text, kind="idle", after=after))
        else:
            self._set_timer()
