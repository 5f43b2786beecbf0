"""The client of the demo: a session, its traffic, and a record of both.

Rules: The record holds only what the session said: through its callbacks, its stream
and its deliveries. Times are seconds since the current step began.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import attrs

from resilient_ws import (
    Attempt,
    Connection,
    ConnectionDropped,
    ConnectionOpened,
    Delivery,
    FullJitter,
    Interruption,
    Liveness,
    Reconnect,
    RetryScheduled,
    State,
    Timeouts,
    connect,
)
from resilient_ws.cli.demo.report import Evidence, InterruptionSeen, Received, Sent
from resilient_ws.cli.demo.server import DIAL_HEADER


if TYPE_CHECKING:
    from collections.abc import Sequence

#: Quick, to be watched. A device would use the defaults.
LIVENESS: Final = Liveness(ping_interval=0.4, ping_timeout=0.6)
WAIT: Final = FullJitter(initial=0.3, maximum=0.6)
_RECONNECT: Final = Reconnect(wait=WAIT, stable_after=0.5)
_TIMEOUTS: Final = Timeouts(open=1.0, close=2.0)
#: Seconds between two numbers that the client sends.
_PERIOD: Final = 0.05


@attrs.define
class StepTimes:
    """When things happened in one step, in seconds since it began.

    Attributes:
        name: What was done to the server.
        noticed_after: When the session noticed.
        ready_after: When the server would serve again.
        back_after: When the session was open again.
    """

    name: str
    noticed_after: float | None = None
    ready_after: float | None = None
    back_after: float | None = None


class DemoClient:
    """Exchanges numbers with the server, and records what became of them.

    Args:
        url: The URL of the server.

    Attributes:
        session: The session, not entered yet.
        deliveries: What was sent, by number.
        unconfirmed: How much was unconfirmed at each drop, by epoch.
        steps: The times of each step.
    """

    def __init__(self, url: str) -> None:
        self.session = connect(
            url,
            headers=self._headers,
            on_open=self._on_open,
            liveness=LIVENESS,
            reconnect=_RECONNECT,
            timeouts=_TIMEOUTS,
        )
        self.session.on(ConnectionDropped, self._on_dropped)
        self.session.on(ConnectionOpened, self._on_opened)
        self.session.on(RetryScheduled, self._on_scheduled)
        self.deliveries: dict[int, Delivery] = {}
        self.unconfirmed: dict[int, int] = {}
        self.steps: list[StepTimes] = []
        self._stream: list[int | InterruptionSeen] = []
        self._dials = 0
        self._epochs: dict[int, int] = {}
        self._step_began_at = 0.0
        self._is_back = asyncio.Event()
        self._next_attempt = 0
        self._next_attempt_at = 0.0

    # Traffic.

    async def receive(self) -> None:
        """Record what comes, holes in their places, until the session ends."""
        async for item in self.session.with_interruptions():
            if isinstance(item, Interruption):
                self._stream.append(InterruptionSeen(epoch=item.epoch))
            else:
                self._stream.append(int(item))

    async def send(self) -> None:
        """Send numbers, whether the session is open or not, until cancelled."""
        number = 0
        while True:
            number += 1
            self.deliveries[number] = await self.session.send(str(number))
            await asyncio.sleep(_PERIOD)

    @property
    def received(self) -> int:
        """How many numbers have come."""
        return sum(isinstance(item, int) for item in self._stream)

    def has_received(self, number: int) -> bool:
        """Return whether a number has come."""
        return number in self._stream

    # Steps.

    def begin_step(self, name: str) -> None:
        """Note that something is being done to the server."""
        self._step_began_at = asyncio.get_running_loop().time()
        self._is_back.clear()
        self.steps.append(StepTimes(name))

    def server_is_ready(self) -> None:
        """Note that the server would serve again."""
        self.steps[-1].ready_after = self._since_step_began()

    async def back(self) -> None:
        """Wait until the session has come back from the current step."""
        await self._is_back.wait()
        await self.session.wait_until(State.OPEN)

    def _since_step_began(self) -> float:
        return asyncio.get_running_loop().time() - self._step_began_at

    # Called by the session.

    def _headers(self, _: Attempt) -> dict[str, str]:
        """Number each dial, so that the server's log can say which one it served."""
        self._dials += 1
        return {DIAL_HEADER: str(self._dials)}

    async def _on_open(self, connection: Connection) -> None:
        """Note which dial became which epoch."""
        self._epochs[self._dials] = connection.epoch

    def _on_dropped(self, event: ConnectionDropped) -> None:
        self.unconfirmed[event.epoch] = event.unconfirmed
        if self.steps and self.steps[-1].noticed_after is None:
            self.steps[-1].noticed_after = self._since_step_began()

    def _on_opened(self, _: ConnectionOpened) -> None:
        if self.steps and self.steps[-1].noticed_after is not None:
            self.steps[-1].back_after = self._since_step_began()
            self._is_back.set()

    def _on_scheduled(self, event: RetryScheduled) -> None:
        self._next_attempt = event.attempt
        self._next_attempt_at = asyncio.get_running_loop().time() + event.delay

    # The record.

    def figures(self) -> dict[str, str]:
        """Return what the panel shows of the session, by name."""
        session, statistics = self.session, self.session.statistics()
        latency = session.latency
        return {
            "state": session.state.value,
            "next dial": self._next_dial(),
            "latency": "-" if latency is None else f"{latency * 1000:.1f} ms",
            "connection": str(session.epoch),
            "attempts": str(statistics.attempts),
            "queued": str(statistics.outbox_messages),
            "received": str(self.received),
            "sent": str(len(self.deliveries)),
        }

    def _next_dial(self) -> str:
        if self.session.state is not State.BACKOFF:
            return "-"
        wait = max(0.0, self._next_attempt_at - asyncio.get_running_loop().time())
        return f"#{self._next_attempt} in {wait:.1f} s"

    def evidence(self, log: Sequence[dict[str, Any]]) -> Evidence:
        """Put the server's log beside this record."""
        return Evidence(
            sent=[
                Sent(
                    number=entry["number"],
                    epochs=frozenset(
                        self._epochs[dial]
                        for dial in entry["dials"]
                        if dial in self._epochs
                    ),
                )
                for entry in log
                if entry["event"] == "sent"
            ],
            stream=self._stream,
            accepted={n: d.state for n, d in self.deliveries.items()},
            received=[
                Received(number=entry["number"], epoch=self._epochs[entry["dial"]])
                for entry in log
                if entry["event"] == "received"
            ],
            unconfirmed=self.unconfirmed,
        )
