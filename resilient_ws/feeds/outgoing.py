"""Messages that the pump sends without waiting: acknowledgements, answers, heartbeats.

Rules: each goes out on the connection that it belongs to, or not at all. They wait in a
bounded line; a server that does not read loses the oldest, and they are counted. One
that cannot be sent does not hold up the next.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.throttled_log import ThrottledLog
    from resilient_ws.feeds.turns import Turns
    from resilient_ws.protocol.message import Message


#: Messages that may wait.
MAX_WAITING: Final = 1000
#: Answers that may be in the making at once; further requests are not answered.
MAX_IN_THE_MAKING: Final = 1000


class OutgoingLine:
    """The line of messages, and the loop that sends them.

    Args:
        turns: Told when half as many wait as may, so that they are sent.
        log: Where it is told that one cannot be sent.
        spawn: Starts the task that makes an answer.
    """

    __slots__ = (
        "_idle",
        "_line",
        "_log",
        "_making",
        "_spawn",
        "_turns",
        "_wake",
        "dropped",
    )

    def __init__(
        self,
        turns: Turns,
        log: ThrottledLog,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._turns = turns
        self._log = log
        self._spawn = spawn
        self._making = 0
        self._line: deque[tuple[Link, Message]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        #: Messages that were not sent.
        self.dropped = 0

    def answer(self, link: Link, message: Message | Awaitable[Message | None]) -> None:
        """Send a message, at once or when it is made. Never waits."""
        if isinstance(message, str | bytes):
            self.put(link, message)
        elif self._making >= MAX_IN_THE_MAKING:
            self.dropped += 1
            give_up(message)
        else:
            self._making += 1
            if self._making * 2 == MAX_IN_THE_MAKING:
                self._turns.due = True
            _ = self._spawn(self._make(link, message))

    async def _make(self, link: Link, made: Awaitable[Message | None]) -> None:
        try:
            message = await made
        finally:
            self._making -= 1
        if message is not None:
            self.put(link, message)

    def put(self, link: Link, message: Message) -> None:
        """Send a message soon. Never waits."""
        self._idle.clear()
        self._line.append((link, message))
        if len(self._line) * 2 == MAX_WAITING:
            self._turns.due = True
        elif len(self._line) > MAX_WAITING:
            self._line.popleft()
            self.dropped += 1
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def settled(self) -> None:
        """Wait until nothing waits to be sent."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            while self._line:
                link, message = self._line.popleft()
                if link.gone.is_set():
                    self.dropped += 1
                else:
                    await self._send(link, message)
            self._idle.set()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    async def _send(self, link: Link, message: Message) -> None:
        try:
            delivery = await link.send(message)
        except Exception as failure:  # noqa: BLE001 - it is told, and the next is sent
            self.dropped += 1
            text = "an answer or a heartbeat could not be sent: %s"
            self._log.warn("outgoing", text, type(failure).__name__)
        else:
            self.dropped += delivery.state.lost


def give_up(made: Awaitable[Any]) -> None:
    """Drop an answer that is not made yet."""
    if inspect.iscoroutine(made):
        made.close()
    elif isinstance(made, asyncio.Future):
        made.cancel()
