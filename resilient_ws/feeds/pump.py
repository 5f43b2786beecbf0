"""The task that reads a session for its channel.

Rules: messages are routed in the order in which they came, and what interrupts them is
told in its place. The pump never waits for anything but the next of them; now and then
it gives a turn to those who read, so that a flood is not taken for slow consumers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import ResilientWSError
from resilient_ws.events import ConnectionDropped
from resilient_ws.state import State


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.inbox import Interruption
    from resilient_ws.protocol.message import Message
    from resilient_ws.session import Session


#: Messages that are routed in one turn of the loop: fewer than a buffer holds.
AT_ONCE: Final = 256


class Pump:
    """Reads the stream of one session.

    Args:
        session: The session; this is its only consumer.
        route: Called with each message.
        on_open: Called with the epoch of each open connection.
        on_lost: Called when a connection has ended, and all it brought was routed.
        on_overflow: Called where messages were discarded on the way.
    """

    def __init__(
        self,
        session: Session,
        *,
        route: Callable[[Message], None],
        on_open: Callable[[int], None],
        on_lost: Callable[[], None],
        on_overflow: Callable[[], None],
    ) -> None:
        self._session = session
        self._route = route
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_overflow = on_overflow
        # The epoch of the connection that is open as far as the stream was read.
        self._epoch = 0

    async def run(self) -> Exception | None:
        """Read until the session ends; return what ended it."""
        route = self._route
        routed = 0
        try:
            await self._session.wait_until(State.OPEN)
            self._open(self._session.epoch)
            async for item in self._session.with_interruptions(drops=True):
                if isinstance(item, str | bytes):
                    route(item)
                    routed += 1
                    if routed == AT_ONCE:
                        routed = 0
                        await asyncio.sleep(0)
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
            self._epoch = epoch
            self._on_open(epoch)

    def _lose(self, epoch: int) -> None:
        if epoch == self._epoch:
            self._on_lost()

    def _pass(self, hole: Interruption) -> None:
        """Go on behind a hole: on a new connection, or on the same."""
        if hole.drops and hole.epoch > self._epoch:
            # A connection that was replaced ends without a drop.
            self._on_lost()
            self._open(hole.epoch)
        elif hole.discarded:
            self._on_overflow()
