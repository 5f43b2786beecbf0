"""One session of a run: it sends numbered messages, and reads what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

import attrs
from tenacity import wait_random_exponential

import resilient_ws
from resilient_ws import (
    ConnectionDropped,
    ConnectionOpened,
    Liveness,
    LoopLagged,
    Outbox,
    OutboxFull,
    Reconnect,
    ResilientWSError,
    State,
    StateChanged,
    Timeouts,
)
from tests.record import until
from tests.soak.ledger import Ledger, Mode
from tests.soak.script import PING_INTERVAL, PING_TIMEOUT


if TYPE_CHECKING:
    from resilient_ws import Session

#: Bytes of a message; the servers log what has no more than 1024.
SIZES: Final = (8, 40, 200, 300, 1000)
#: Seconds that a session has, when the faults are over, to be open and to have sent all.
SETTLING: Final = 60.0

_OUTBOXES: Final[dict[Mode, Outbox]] = {
    "write": Outbox(max_messages=200, overflow="drop_oldest"),
    "pong": Outbox(max_messages=200, confirm="pong"),
    "resend": Outbox(max_messages=200, overflow="wait", confirm="pong", resend=True),
}


@attrs.define
class Life:
    """One connection that was open, on the clock of the loop."""

    dialled: float
    opened: float
    dropped: float | None = None
    how: str = ""


class Client:
    """A session with its sender, its reader, and a ledger of both.

    Args:
        number: Which of the run.
        server: The name of the server it talks to.
        mode: How it delivers.
        url: Where to dial.
        seed: Of the run.
    """

    def __init__(
        self, number: int, server: str, mode: Mode, url: str, *, seed: int
    ) -> None:
        self.number = number
        self.server = server
        self.ledger = Ledger(mode)
        self.lives: list[Life] = []
        self.unconfirmed = 0
        self.attempts_failed = 0
        self.lags = 0
        self._rng = random.Random(f"{seed} client {number}")
        self._dialled = 0.0
        self._session = self._connect(url)
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """Which session it is, for a report."""
        return f"session {self.number}, {self.server}, {self.ledger.mode}"

    def _connect(self, url: str) -> Session:
        session = resilient_ws.connect(
            f"{url}/echo?session={self.number}",
            outbox=_OUTBOXES[self.ledger.mode],
            liveness=Liveness(ping_interval=PING_INTERVAL, ping_timeout=PING_TIMEOUT),
            timeouts=Timeouts(open=5, restore=5, close=5),
            reconnect=Reconnect(
                wait=wait_random_exponential(multiplier=0.25, max=2), stable_after=5
            ),
        )
        session.on(StateChanged, self._on_state)
        session.on(ConnectionOpened, self._on_opened)
        session.on(ConnectionDropped, self._on_dropped)
        session.on(LoopLagged, self._on_lag)
        session.on(resilient_ws.AttemptFailed, self._on_failure)
        return session

    def _on_state(self, event: StateChanged) -> None:
        if event.current is State.CONNECTING:
            self._dialled = self._loop.time()

    def _on_opened(self, _: ConnectionOpened) -> None:
        self.lives.append(Life(self._dialled, self._loop.time()))

    def _on_dropped(self, event: ConnectionDropped) -> None:
        self.unconfirmed += event.unconfirmed
        life = self.lives[-1]
        life.dropped = self._loop.time()
        life.how = getattr(event.because, "how", type(event.because).__name__)

    def _on_lag(self, event: LoopLagged) -> None:
        self.lags += event.count

    def _on_failure(self, _: object) -> None:
        self.attempts_failed += 1

    # The run.

    async def run(self, over: asyncio.Event) -> None:
        """Send and read until told to end; then settle, and close."""
        async with self._session as session, asyncio.TaskGroup() as group:
            group.create_task(self._read())
            sending = group.create_task(self._send_on())
            await over.wait()
            sending.cancel()
            await asyncio.wait({sending})
            await self._settle()
            record = await session.close()
            if record is None or not record.clean:
                self.ledger.violate(f"closed on a healthy link with {record}")

    async def _send_on(self) -> None:
        rng = self._rng
        try:
            while True:
                for _ in range(rng.choice((1, 1, 2, 5, 20))):
                    await self._send()
                await asyncio.sleep(rng.uniform(0.0, 0.3))
                self.ledger.settle()
        except ResilientWSError as end:
            self.ledger.violate(f"the session ended by itself: {end}")

    async def _send(self) -> int:
        number = self.ledger.next_number()
        text = f"{number} ".ljust(self._rng.choice(SIZES), "-")
        options: dict[str, Any] = {"ttl": 1.0} if self._rng.random() < 0.1 else {}
        try:
            if self._rng.random() < 0.05:
                async with asyncio.timeout(0.0):
                    delivery = await self._session.send(text, **options)
            else:
                delivery = await self._session.send(text, **options)
        except (OutboxFull, TimeoutError):
            self.ledger.refused(number)
            await asyncio.sleep(0.05)
        except BaseException:
            self.ledger.refused(number)
            raise
        else:
            self.ledger.accepted(number, delivery)
        return number

    async def _read(self) -> None:
        rng = self._rng
        with contextlib.suppress(ResilientWSError):  # the sender tells
            async for item in self._session.with_interruptions():
                self.ledger.received(item)
                if rng.random() < 0.002:
                    await asyncio.sleep(rng.uniform(0.1, 2.0))

    async def _settle(self) -> None:
        """Come back, send what waits, and have one last message echoed."""
        try:
            async with asyncio.timeout(SETTLING):
                # The link may be dead still, and take such a message with it.
                while not await self._echoes():
                    pass
                await until(lambda: not self.ledger.unsettled)
        except (ResilientWSError, TimeoutError):
            self.ledger.violate(
                f"{self._session.state.value}, {self.ledger.unsettled} unsettled, "
                f"{SETTLING:g} s after the last fault"
            )

    async def _echoes(self) -> bool:
        """Whether a message sent now comes back soon."""
        await self._session.wait_until(State.OPEN)
        number = await self._send()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PING_TIMEOUT):
                await until(lambda: self.ledger.came_back(number))
        return self.ledger.came_back(number)
