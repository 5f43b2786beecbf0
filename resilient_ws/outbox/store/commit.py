"""Group commit: a durable store at work for one session.

Rules: the file belongs to one worker thread, which carries out in one commit all
requests made since its last commit. A deletion that failed is retried until the store
is closed; any other failure is reported to the caller at once. Only this module sets
``Delivery.stored`` while the session runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from resilient_ws.errors import StoreError
from resilient_ws.events import StoreFailed
from resilient_ws.outbox.delivery import Delivery
from resilient_ws.outbox.store.database import Accuse, Claim, Forget, Put, Request
from resilient_ws.outbox.store.rows import values_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.outbox.store.database import Answer, Database
    from resilient_ws.outbox.store.rows import Row
    from resilient_ws.protocol.message import Message


T = TypeVar("T")

#: Seconds before a deletion that failed is retried.
RETRY_AFTER: Final = 1.0


@attrs.frozen(eq=False)
class _Entry:
    """A request, its messages, and the future that its caller waits for."""

    request: Request
    deliveries: Sequence[Delivery]
    answer: asyncio.Future[Any]


class SQLiteLedger:
    """The loop's side of a store: passes requests to the store's thread."""

    durable = True

    def __init__(
        self,
        database: Database,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._database = database
        self._loop = loop
        self._report = report
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resilient_ws store")
        self._queue: list[_Entry] = []
        # Deletions that failed, to be retried.
        self._again: list[_Entry] = []
        self._retry: asyncio.TimerHandle | None = None
        self._commit: asyncio.Future[list[Answer | StoreError]] | None = None
        self._scheduled = False
        self._idle: asyncio.Future[None] | None = None
        self._failing = False
        self.last = 0

    def clock(self) -> float:
        """Return Unix seconds, because a ttl also passes while no process runs."""
        return time.time()

    # Beginning and end.

    async def open(self) -> list[Row]:
        """Open the file, and return what an earlier session left in it.

        Raises:
            StoreError: The file is in use, or is not a sound store.

        Cancellation:
            Waits for the thread, and leaves the file closed.
        """
        opening = self._loop.run_in_executor(self._thread, self._database.open)
        try:
            rows, self.last = await _finished(opening)
        except asyncio.CancelledError:
            await self._shut()
            raise
        except Exception:
            self._thread.shutdown()
            raise
        return rows

    async def close(self) -> None:
        """Carry out the pending requests, and close the file."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._queue += self._again
        self._again = []
        while self._queue or self._commit is not None or self._scheduled:
            self._idle = self._loop.create_future()
            self._schedule()
            await self._idle
        for entry in self._again:
            entry.answer.cancel()
        await self._shut()

    async def _shut(self) -> None:
        closing = self._loop.run_in_executor(self._thread, self._database.close)
        try:
            lost = await _finished(closing)
        finally:
            self._thread.shutdown()
        if lost is not None:
            self._report_failures([lost])

    # Asking.

    def put(self, delivery: Delivery) -> asyncio.Future[None]:
        """Store a message that is being accepted."""
        return self._ask(_put((delivery,)), (delivery,))

    def claim(
        self, deliveries: Sequence[Delivery]
    ) -> asyncio.Future[list[Message | None]]:
        """Return the payloads of messages that are about to be written."""
        sequences = [delivery.sequence for delivery in deliveries]
        kept = [delivery.awaited for delivery in deliveries]
        return self._ask(Claim(sequences, kept), deliveries)

    def accuse(self, delivery: Delivery) -> None:
        """Store how many connections ended while a message was alone in flight."""
        answer = self._ask(Accuse(delivery.sequence, delivery.accused), (delivery,))
        # A failure was already reported; it costs one more attempt after a restart.
        answer.add_done_callback(_retrieved)

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Store messages again that were claimed but not written.

        If that fails they stay in memory only, and ``Delivery.stored`` is false.
        """
        taken = [delivery for delivery in deliveries if not delivery.stored]
        for delivery in taken:
            # Set before the commit: a message lost meanwhile must be deleted too.
            delivery.stored = True
        answer = self._ask(_put(deliveries), deliveries)
        answer.add_done_callback(partial(_put_back, taken))

    def forget(self, deliveries: Sequence[Delivery]) -> asyncio.Future[None]:
        """Delete messages from the store."""
        request = Forget([delivery.sequence for delivery in deliveries])
        return self._ask(request, deliveries)

    def _ask(
        self, request: Request, deliveries: Sequence[Delivery]
    ) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append(_Entry(request, deliveries, answer))
        self._schedule()
        return answer

    # Committing.

    def _schedule(self) -> None:
        """Schedule one commit for all requests of this turn of the loop."""
        if self._commit is None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        group, self._queue = self._queue, []
        if group:
            requests = [entry.request for entry in group]
            try:
                self._commit = self._loop.run_in_executor(
                    self._thread, self._database.carry_out, requests
                )
            except RuntimeError as refused:  # the interpreter is shutting down
                self._answer(group, [_thread_failed(refused)] * len(group))
            else:
                self._commit.add_done_callback(lambda commit: self._end(group, commit))
        else:
            self._note_idle()

    def _end(
        self,
        group: Sequence[_Entry],
        commit: asyncio.Future[list[Answer | StoreError]],
    ) -> None:
        """Answer the requests of a commit, and start the next commit."""
        self._commit = None
        bug = asyncio.CancelledError() if commit.cancelled() else commit.exception()
        if bug is None:
            self._answer(group, commit.result())
        else:
            self._answer(group, [_thread_failed(bug)] * len(group))

    def _answer(
        self, group: Sequence[_Entry], answers: Sequence[Answer | StoreError]
    ) -> None:
        failures: list[StoreError] = []
        for entry, answer in zip(group, answers, strict=True):
            if isinstance(answer, StoreError):
                failures.append(answer)
                self._failed(entry, answer)
            else:
                self._succeeded(entry, answer)
        self._report_failures(failures)
        if self._queue:
            self._schedule()
        else:
            self._note_idle()

    def _note_idle(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _succeeded(self, entry: _Entry, answer: Answer) -> None:
        match entry.request:
            case Put():
                for delivery in entry.deliveries:
                    delivery.stored = True
                    delivery.data = None
            case Forget():
                for delivery in entry.deliveries:
                    delivery.stored = False
            case Claim():
                answer = self._payloads(entry.deliveries, answer or [])
            case Accuse():
                pass
        if not entry.answer.done():
            entry.answer.set_result(answer)

    def _payloads(
        self, deliveries: Sequence[Delivery], messages: Sequence[Message | None]
    ) -> list[Message | None]:
        """Return claimed payloads; memory has those that could not be put back."""
        payloads: list[Message | None] = []
        for delivery, message in zip(deliveries, messages, strict=True):
            payloads.append(delivery.data if message is None else message)
            delivery.stored = delivery.awaited and message is not None
        return payloads

    def _failed(self, entry: _Entry, failure: StoreError) -> None:
        if isinstance(entry.request, Forget):
            self._again.append(entry)
            if self._retry is None and self._idle is None:
                self._retry = self._loop.call_later(RETRY_AFTER, self._try_again)
        elif not entry.answer.done():
            entry.answer.set_exception(failure)

    def _try_again(self) -> None:
        self._retry = None
        self._queue += self._again
        self._again = []
        self._schedule()

    def _report_failures(self, failures: Sequence[StoreError]) -> None:
        """Report the first failure, and no other until the store works again."""
        if failures and not self._failing:
            self._report(StoreFailed(because=failures[0]))
        self._failing = bool(failures)


def _thread_failed(bug: BaseException) -> StoreError:
    """Return the error for requests that the store's thread failed to carry out."""
    return StoreError(f"The thread of the outbox's store failed: {type(bug).__name__}.")


def _put(deliveries: Sequence[Delivery]) -> Put:
    return Put([values_of(one, one.data) for one in deliveries if one.data is not None])


def _put_back(taken: Sequence[Delivery], answer: asyncio.Future[Any]) -> None:
    """Mark messages as not stored if the store refused them, which was reported."""
    if answer.exception() is not None:
        for delivery in taken:
            delivery.stored = False


def _retrieved(answer: asyncio.Future[Any]) -> None:
    """Retrieve the error of a future that nobody awaits, or asyncio logs it."""
    if not answer.cancelled():
        answer.exception()


async def _finished(job: asyncio.Future[T]) -> T:
    """Wait until the thread has finished a job, even if cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait({job})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and job.exception() is None:
        raise cancelled
    return job.result()
