"""Drives the tracker on one connection: does what it says, and answers it.

Rules: this alone resumes the tracker and calls the teller, one step after the other.
When it ends, no request of it is left, and the tracker knows what was told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from resilient_ws.feeds.evm.steps import (
    Accept,
    AwaitHint,
    Bypass,
    DropQueries,
    NewConnection,
    Pause,
    Remark,
    Resubscribe,
    SendQuery,
    StartOver,
    Step,
    TakeAnswer,
    TellGap,
    Undo,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.evm.connection import NodeConnection
    from resilient_ws.feeds.evm.steps import BlockFound, BlockQuery
    from resilient_ws.feeds.evm.tracker import Tracker
    from resilient_ws.feeds.requests import Requests


#: Seconds after which a new connection that was asked for will not come.
REPLACED_WITHIN: Final = 60.0


class Teller(Protocol):
    """Tells the consumer what the tracker found. Each may wait for the consumer.

    Whatever a teller asks the node, it asks with ``client.call_on(requests, ...)``: on
    the connection that announced the block. ``step.live`` says whether blocks were just
    announced, so that they are asked for by hash, or are being caught up with, so that
    ranges will do; with ``Tracker(chunk=...)``, these come many at once.

    A teller counts in ``step.told`` at the moment at which it gives the consumer an
    item. It is cancelled when the connection ends, and what it did not count comes
    again on the next. An exception that it raises ends the stream, but for
    ``StartOver``, after which the tracker looks again.
    """

    @property
    def gaps(self) -> int:
        """How many gaps were told."""
        ...

    async def accept(self, step: Accept, requests: Requests) -> None:
        """Tell blocks, and count them in ``step.told``."""

    async def undo(self, step: Undo) -> None:
        """Tell that blocks are gone."""

    async def gap(self, step: TellGap) -> None:
        """Tell that blocks are missing."""

    async def bypass(self, step: Bypass, requests: Requests) -> None:
        """Tell what is in finalized blocks, and set ``step.told``.

        Called where the tracker was made with ``bypass=True``; there are no headers.
        """

    def finish(self, failure: Exception | None) -> None:
        """Take note of the end; ``failure`` is what ended it."""


class Drive:
    """The tracker's work on one connection.

    Args:
        tracker: Says what to do.
        teller: Tells the consumer.
        connection: Where the node is asked.
        hint: Set when something was announced.
        replace: Replaces the connection, for a reason.
        resubscribe: Subscribes to announcements anew, and ends this.
        warn: Logs a remark of a kind.
    """

    def __init__(
        self,
        tracker: Tracker,
        teller: Teller,
        connection: NodeConnection,
        *,
        hint: asyncio.Event,
        replace: Callable[[str], None],
        resubscribe: Callable[[], None],
        warn: Callable[[str, str], None],
    ) -> None:
        self._tracker = tracker
        self._teller = teller
        self._connection = connection
        self._hint = hint
        self._replace = replace
        self._resubscribe = resubscribe
        self._warn = warn
        self._asked: set[asyncio.Task[BlockFound]] = set()

    async def run(self) -> None:
        """Follow the chain until this is cancelled.

        Raises:
            FeedError: The stream cannot go on.

        Cancellation:
            What was told is known; nothing is left behind.
        """
        steps = self._tracker.follow()
        answer: Any = None
        try:
            while True:
                try:
                    answer = await self._do(steps.send(answer))
                except StartOver:
                    steps.close()
                    steps, answer = self._tracker.follow(), None
        finally:
            steps.close()
            for task in self._asked:
                task.cancel()
            await asyncio.gather(*self._asked, return_exceptions=True)

    async def _do(self, step: Step) -> Any:
        """Carry out a step, and return its answer."""
        match step:
            case SendQuery(query):
                return self._ask(query)
            case TakeAnswer(ticket):
                return await ticket
            case DropQueries(tickets):
                for ticket in tickets:
                    ticket.cancel()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case AwaitHint(seconds):
                return await self._hinted(seconds)
            case NewConnection(reason):
                self._replace(reason)
                await asyncio.sleep(REPLACED_WITHIN)
            case Remark(kind, text):
                self._warn(kind, text)
            case Resubscribe():
                self._resubscribe()
                await asyncio.sleep(REPLACED_WITHIN)
            case _:
                await self._tell(step)
        return None

    async def _tell(self, step: Accept | Undo | TellGap | Bypass) -> None:
        match step:
            case Accept():
                await self._teller.accept(step, self._connection.requests)
            case Undo():
                await self._teller.undo(step)
            case TellGap():
                await self._teller.gap(step)
            case Bypass():
                await self._teller.bypass(step, self._connection.requests)

    def _ask(self, query: BlockQuery) -> asyncio.Task[BlockFound]:
        request = self._connection.find(query)
        task = asyncio.get_running_loop().create_task(request)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        return task

    async def _hinted(self, seconds: float) -> bool:
        self._hint.clear()
        if not self._tracker.fresh:
            try:
                async with asyncio.timeout(seconds):
                    await self._hint.wait()
            except TimeoutError:
                return False
        return self._tracker.fresh
