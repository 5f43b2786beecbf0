"""A session that a test plays by hand: it opens, drops and receives when told to.

It has what a channel uses of the public API of a session, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Self, cast

from resilient_ws import ConnectionLost, State
from resilient_ws.events import ConnectionDropped, ConnectionReplaced, SessionClosed
from resilient_ws.inbox import Interruption
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws import Session


class Sent:
    """What became of a message: the part of a delivery that feeds look at."""

    def __init__(self, state: DeliveryState, transmissions: int) -> None:
        self.state = state
        self.transmissions = transmissions


class ScriptedSession:
    """Stands in for a session.

    Attributes:
        sent: The messages that were transmitted, each with its epoch.
        on_send: Called with each message that is sent; its answer is a state, or an
            exception to raise; ``None`` for ``WRITTEN``.
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.epoch = 0
        self.sent: list[tuple[int, str | bytes]] = []
        self.on_send: Callable[[str | bytes], DeliveryState | Exception | None] | None
        self.on_send = None
        self.reconnects: list[tuple[str, str | None]] = []
        self.hooks: list[Callable[[Any], Awaitable[None]]] = []
        self.failure: Exception | None = None
        #: Set to let ``send`` wait: the transport has no room.
        self.room = asyncio.Event()
        self.room.set()
        self._items: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._waiters: list[tuple[State, asyncio.Future[None]]] = []

    @property
    def session(self) -> Session:
        """Itself, as what it stands in for."""
        return cast("Session", self)

    # What a channel uses.

    async def __aenter__(self) -> Self:
        self.state = State.CONNECTING
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def on_open(self, hook: Callable[[Any], Awaitable[None]]) -> None:
        assert self.state is State.IDLE
        self.hooks.append(hook)

    def check_url(self, url: str) -> None:
        """Allow every URL."""

    async def wait_until(self, state: State) -> None:
        if self.state is not state:
            self._check_open()
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((state, waiter))
            await waiter

    async def receive_many(self, *, interruptions: bool) -> Any:
        assert interruptions
        while not self._items:
            self._check_open()
            self._wake.clear()
            await self._wake.wait()
        if not isinstance(self._items[0], str | bytes):
            return self._items.popleft()
        batch: list[str | bytes] = []
        while self._items and isinstance(self._items[0], str | bytes):
            batch.append(self._items.popleft())
        return batch

    async def send(self, message: str | bytes, *, epoch: int, confirm: str) -> Sent:
        assert confirm == "write"
        self._check_open()
        # Like a session, wait for room only where there is none.
        while self.state is State.OPEN and not self.room.is_set():
            await self.room.wait()
        self._check_open()
        if self.state is not State.OPEN or epoch != self.epoch:
            return Sent(DeliveryState.DROPPED, 0)
        answer = None if self.on_send is None else self.on_send(message)
        if isinstance(answer, Exception):
            raise answer
        if answer is None or answer is DeliveryState.WRITTEN:
            self.sent.append((epoch, message))
            return Sent(DeliveryState.WRITTEN, 1)
        return Sent(answer, 0)

    def reconnect(
        self, reason: str, url: str | None = None, *, code: int = 1000
    ) -> None:
        self._check_open()
        assert code == 1000
        self.reconnects.append((reason, url))

    def _check_open(self) -> None:
        if self.state is State.CLOSED:
            raise SessionClosed if self.failure is None else self.failure

    # What a test does.

    def open(self, *, discarded: int = 0) -> None:
        """A connection is open, of which the first messages may have been discarded."""
        self.epoch += 1
        if self.epoch > 1:
            self._put(_hole(self.epoch, drops=1, discarded=discarded))
        self._become(State.OPEN)

    def drop(self) -> None:
        """The connection is lost."""
        lost = ConnectionLost("lost", how="eof")
        self._put(
            ConnectionDropped(
                epoch=self.epoch,
                because=lost,
                close=None,
                uptime=1.0,
                clean=False,
                unconfirmed=0,
            )
        )
        self._become(State.BACKOFF)

    def replace(self) -> None:
        """The connection ends on request: there is no drop, and the next will open."""
        self._put(
            ConnectionReplaced(epoch=self.epoch, reason="asked", close=None, uptime=1.0)
        )
        self._become(State.BACKOFF)

    def receive(self, *messages: Any) -> None:
        """Messages have come; what is not text is sent as JSON."""
        for message in messages:
            self._put(
                message if isinstance(message, str | bytes) else json.dumps(message)
            )

    def discard(self, count: int = 1) -> None:
        """The inbox has discarded messages."""
        self._put(_hole(self.epoch, discarded=count))

    def close(self, failure: Exception | None = None) -> None:
        """The session ends."""
        if self.state is not State.CLOSED:
            self.failure = failure
            self._become(State.CLOSED)
            self._wake.set()

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        """The JSON-RPC requests that were sent."""
        decoded = [json.loads(message) for _, message in self.sent]
        flat = [r for one in decoded for r in (one if isinstance(one, list) else [one])]
        return [r for r in flat if method is None or r.get("method") == method]

    def _put(self, item: Any) -> None:
        self._items.append(item)
        self._wake.set()

    def _become(self, state: State) -> None:
        self.state = state
        for wanted, waiter in self._waiters:
            if waiter.done():
                continue
            if wanted is state:
                waiter.set_result(None)
            elif state is State.CLOSED:
                waiter.set_exception(
                    SessionClosed() if self.failure is None else self.failure
                )
        self.room.set()


def _hole(epoch: int, *, drops: int = 0, discarded: int = 0) -> Interruption:
    return Interruption(
        cause=None, since=0.0, until=0.0, epoch=epoch, drops=drops, discarded=discarded
    )
