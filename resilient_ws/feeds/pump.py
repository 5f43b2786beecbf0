"""The task that reads a session for its channel.

Rules: messages are routed in the order in which they came, and what interrupts them is
told in its place. The pump never waits for anything but the next of them; now and then
it lets the loop make a turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.errors import ResilientWSError
from resilient_ws.events import ConnectionDropped, ConnectionReplaced
from resilient_ws.state import State


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.turns import Turns
    from resilient_ws.inbox import Interruption
    from resilient_ws.protocol.message import Message
    from resilient_ws.session import Session


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
        # That of one that was replaced: the stream will not show its end.
        self._replaced = 0

    async def run(self) -> Exception | None:
        """Read until the session ends; return what ended it."""
        route, turns = self._route, self._turns
        _ = self._session.on(ConnectionReplaced, self._note_replaced)
        try:
            await self._session.wait_until(State.OPEN)
            self._open(self._session.epoch)
            async for item in self._session.with_interruptions(drops=True):
                if isinstance(item, str | bytes):
                    route(item)
                    if turns.due:
                        turns.due = False
                        await asyncio.sleep(0)
                        self._look_for_end()
                elif isinstance(item, ConnectionDropped):
                    self._lose(item.epoch)
                else:
                    self._pass(item)
        except ResilientWSError as failure:
            return failure
        except Exception as failure:  # noqa: BLE001 - SessionClosed, or on_open's error
            return failure
        return None

    def _open(self, epoch: int) -> None:
        if epoch > self._epoch:
            # A connection that was replaced may end without a word.
            self._lose(self._epoch)
            self._epoch, self._is_open = epoch, True
            self._on_open(epoch)

    def _lose(self, epoch: int) -> None:
        if epoch == self._epoch and self._is_open:
            self._is_open = False
            self._on_lost()

    def _note_replaced(self, replaced: ConnectionReplaced) -> None:
        self._replaced = replaced.epoch
        self._look_for_end()

    def _look_for_end(self) -> None:
        """Tell of the end of a replaced connection once all it brought was routed."""
        if self._replaced and self._replaced == self._epoch:
            if self._session.statistics().inbox_messages:
                self._turns.due = True  # look again behind the next message
            else:
                self._lose(self._epoch)

    def _pass(self, hole: Interruption) -> None:
        """Go on behind a hole: on a new connection, or on the same."""
        if hole.drops and hole.epoch > self._epoch:
            self._open(hole.epoch)
        elif hole.discarded:
            self._on_overflow()
