"""The task that reads a session for its channel.

Rules: messages are routed in the order in which they came, and what interrupts them is
told in its place. The pump never waits for anything but the next of them; now and then
it lets the loop make a turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws import Interruption, SessionClosed, State


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Session
    from resilient_ws.feeds.turns import Turns
    from resilient_ws.protocol.message import Message


class Pump:
    """Reads the stream of one session.

    Args:
        session: The session; this is its only consumer.
        route: Called with each message.
        on_open: Called with the epoch of each open connection.
        on_lost: Called when a connection has ended, and all it brought was routed.
        on_overflow: Called where messages were discarded on the way.
        turns: Tells when others must run before more is read.
    """

    def __init__(
        self,
        session: Session,
        *,
        route: Callable[[Message], None],
        on_open: Callable[[int], None],
        on_lost: Callable[[], None],
        on_overflow: Callable[[], None],
        turns: Turns,
    ) -> None:
        self._session = session
        self._route = route
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_overflow = on_overflow
        self._turns = turns
        # The epoch of the connection that is open as far as the stream was read.
        self._epoch = 0
        self._is_open = False

    async def run(self) -> Exception | None:
        """Read until the session ends; return what ended it, ``None`` for a close."""
        session = self._session
        try:
            if session.epoch == 0:
                await session.wait_until(State.OPEN)
            # It may have ended already: what it brought waits to be read.
            self._open(session.epoch)
            while True:
                item = await session.receive_many(interruptions=True)
                if isinstance(item, list):
                    await self._route_all(item)
                elif isinstance(item, Interruption):
                    self._pass(item)
                else:
                    self._lose(item.epoch)
        except SessionClosed:
            return None
        except Exception as failure:  # noqa: BLE001 - on_open may raise anything
            return failure

    async def _route_all(self, messages: list[Message]) -> None:
        route, turns = self._route, self._turns
        for message in messages:
            route(message)
            if turns.due:
                turns.due = False
                await asyncio.sleep(0)

    def _open(self, epoch: int) -> None:
        if epoch > self._epoch:
            self._epoch, self._is_open = epoch, True
            self._on_open(epoch)

    def _lose(self, epoch: int) -> None:
        """Take note that a connection has ended: lost, or replaced."""
        if epoch == self._epoch and self._is_open:
            self._is_open = False
            self._on_lost()

    def _pass(self, hole: Interruption) -> None:
        """Go on behind a hole: on a new connection, or on the same."""
        if hole.drops and hole.epoch > self._epoch:
            # Its end is not told where too many had ended before it was read.
            self._lose(self._epoch)
            self._open(hole.epoch)
        if hole.discarded:
            # Perhaps what the new connection brought first, so after its opening.
            self._on_overflow()
