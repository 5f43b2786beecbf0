"""The client's side of the evidence: what it was given, what it gave, what it heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws import (
    Attempt,
    Connection,
    Delivery,
    Interruption,
    Session,
)
from resilient_ws.cli.feed_server import DIAL
from resilient_ws.cli.report import Evidence, Hole, Received, Sent


if TYPE_CHECKING:
    from resilient_ws.events import ConnectionDropped, ConnectionOpened, RetryScheduled


@attrs.define
class Outage:
    """One step's outage, in seconds from the deed."""

    name: str
    noticed: float | None = None
    cured: float | None = None
    back: float | None = None


@attrs.define
class Ledger:
    """Writes down what the session does.

    Attributes:
        stream: What was received, in order.
        deliveries: What was sent.
        unconfirmed: By epoch, what was unconfirmed when it dropped.
        outages: One for each step.
        attempt: The number of the next attempt.
        back: Set when the session is back from the last of them.
    """

    stream: list[int | Hole] = attrs.field(factory=list[int | Hole])
    deliveries: dict[int, Delivery] = attrs.field(factory=dict[int, Delivery])
    unconfirmed: dict[int, int] = attrs.field(factory=dict[int, int])
    outages: list[Outage] = attrs.field(factory=list[Outage])
    attempt: int = 0
    back: asyncio.Event = attrs.field(factory=asyncio.Event)
    _dials: int = 0
    _epochs: dict[int, int] = attrs.field(factory=dict[int, int])
    _deed: float = 0.0
    _retry_at: float = 0.0

    # What the session calls.

    def headers(self, _: Attempt) -> dict[str, str]:
        """Number each dial, so that the server's log can say which one it served."""
        self._dials += 1
        return {DIAL: str(self._dials)}

    async def on_open(self, connection: Connection) -> None:
        """Note which dial became which epoch."""
        self._epochs[self._dials] = connection.epoch

    def dropped(self, event: ConnectionDropped) -> None:
        """Note a drop."""
        self.unconfirmed[event.epoch] = event.unconfirmed
        if self.outages and self.outages[-1].noticed is None:
            self.outages[-1].noticed = self._since_deed()

    def opened(self, _: ConnectionOpened) -> None:
        """Note that messages flow again."""
        if self.outages and self.outages[-1].noticed is not None:
            self.outages[-1].back = self._since_deed()
            self.back.set()

    def scheduled(self, event: RetryScheduled) -> None:
        """Note when the next attempt is due."""
        self.attempt = event.attempt
        self._retry_at = asyncio.get_running_loop().time() + event.delay

    # What the demo calls.

    def begin(self, name: str) -> None:
        """Note that something is being done to the server."""
        self._deed = asyncio.get_running_loop().time()
        self.back.clear()
        self.outages.append(Outage(name))

    def cured(self) -> None:
        """Note that the server would serve again."""
        self.outages[-1].cured = self._since_deed()

    def _since_deed(self) -> float:
        return asyncio.get_running_loop().time() - self._deed

    async def receive(self, session: Session) -> None:
        """Take what comes, holes in their places, until the session ends."""
        async for item in session.with_interruptions():
            if isinstance(item, Interruption):
                self.stream.append(Hole(epoch=item.epoch))
            else:
                self.stream.append(int(item))

    async def send(self, session: Session, period: float) -> None:
        """Send numbers, whether the session is open or not, until cancelled."""
        number = 0
        while True:
            number += 1
            self.deliveries[number] = await session.send(str(number))
            await asyncio.sleep(period)

    # What is shown.

    @property
    def received(self) -> int:
        """How many numbers came."""
        return sum(isinstance(item, int) for item in self.stream)

    def until_retry(self) -> float:
        """How many seconds it is to the next attempt."""
        return max(0.0, self._retry_at - asyncio.get_running_loop().time())

    def evidence(self, log: list[dict[str, Any]]) -> Evidence:
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
            stream=self.stream,
            accepted={n: d.state for n, d in self.deliveries.items()},
            received=[
                Received(number=entry["number"], epoch=self._epochs[entry["dial"]])
                for entry in log
                if entry["event"] == "received"
            ],
            unconfirmed=self.unconfirmed,
        )
