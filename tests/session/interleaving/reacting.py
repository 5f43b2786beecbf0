"""Callbacks of a user that behave badly."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from resilient_ws import ResilientWSError


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws import Event, Session
    from tests.session.interleaving.plans import Reaction
    from tests.session.interleaving.record import Record


class Reacting:
    """A callback that behaves in one way; what would go on for ever stops in time."""

    def __init__(
        self,
        reaction: Reaction,
        session: Session,
        record: Record,
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        self._reaction = reaction
        self._session = session
        self._record = record
        self._send = send
        self._times = 0

    async def __call__(self, _: Event) -> None:
        session, record = self._session, self._record
        self._times += 1
        if self._reaction == "raise":
            record.raised += 1
            raise ZeroDivisionError
        if self._reaction == "cancel":
            record.raised += 1
            raise asyncio.CancelledError
        if self._reaction == "sleep":
            await asyncio.sleep(0.7)
        elif self._reaction == "never return":
            await asyncio.Event().wait()
        elif self._reaction == "send":
            await self._send("callback")
        elif self._reaction == "close" and self._times > 1:
            await session.close()
        elif self._reaction == "reconnect" and self._times < 4:
            with contextlib.suppress(ResilientWSError):
                session.reconnect("a callback wants it")
