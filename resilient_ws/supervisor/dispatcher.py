"""Runs the user's callbacks, in order, outside the reader.

Rules: callbacks run one at a time, in the order in which things happened and in the
context they were registered in, so a slow one delays only other callbacks. Messages do
not wait in the queue of events: the dispatcher takes them from the inbox one by one,
which keeps the inbox's back-pressure. An event is delivered once the messages that its
mark counts have gone to the callback or been discarded by the inbox's ``overflow``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import fatal_of
from resilient_ws.eventloop.tasks import cancel_and_wait
from resilient_ws.events import HandlerFailed, MessageReceived
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.supervisor.event_queue import EventQueue


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resilient_ws.errors import Fatal
    from resilient_ws.events import ConnectionEnd, Event
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.protocol.message import Message
    from resilient_ws.supervisor.callbacks import Callbacks, Registration
    from resilient_ws.supervisor.log import SessionLog


#: Seconds that a callback may run before a warning is logged.
SLOW_AFTER: Final = 30.0
#: Seconds that callbacks get at the end of the session, messages included.
END_GRACE: Final = 1.0
#: Seconds after that for the events behind messages that were not taken in time.
LAST_EVENTS_GRACE: Final = 0.1


class Dispatcher:
    """Runs the callbacks of one session, in a task of its own.

    Args:
        callbacks: The registered callbacks.
        inbox: The inbox whose messages share one order with the events.
        session: The session's name in its events.
        log: The session's log.
        loop: The session's loop.
        on_fatal: Called with each ``Fatal`` that a callback raises.
    """

    __slots__ = (
        "_callbacks",
        "_finishing",
        "_inbox",
        "_left",
        "_log",
        "_loop",
        "_on_fatal",
        "_queue",
        "_running",
        "_session",
        "_skipped",
        "_taken",
        "_task",
        "_wake",
    )

    def __init__(
        self,
        callbacks: Callbacks,
        inbox: InboxQueue,
        *,
        session: str,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        self._callbacks = callbacks
        self._inbox = inbox
        self._session = session
        self._log = log
        self._loop = loop
        self._on_fatal = on_fatal
        self._queue = EventQueue()
        # Messages that went to the callback, and those that the inbox discarded.
        self._taken = self._skipped = 0
        # The future that the task waits for, or None.
        self._wake: asyncio.Future[None] | None = None
        self._finishing = False
        # Whether the session is over and the waiting messages stay in the inbox.
        self._left = False
        self._task: asyncio.Task[None] | None = None
        # The task of the asynchronous callback that is running, or None.
        self._running: asyncio.Task[object] | None = None

    @property
    def discarded(self) -> int:
        """How many events were discarded because callbacks were too slow."""
        return self._queue.discarded

    @property
    def tasks(self) -> Sequence[asyncio.Task[object] | asyncio.Task[None]]:
        """The dispatcher's own task and that of the running callback, if any."""
        return [task for task in (self._task, self._running) if task is not None]

    # Beginning and end.

    def start(self) -> None:
        """Run callbacks in a task, if there are any and the session goes on."""
        if self._task is None:
            if self._callbacks and not self._finishing:
                self._start_task()
        else:
            self._notify()

    def _start_task(self) -> None:
        self._task = self._loop.create_task(self._run(), name="resilient_ws callbacks")

    async def finish(self) -> None:
        """Give callbacks a bounded time for what still waits, then stop.

        ``SessionClosed`` must have been posted, as the last event.
        """
        self._finishing = True
        self._notify()
        if await self._finished_within(END_GRACE):
            return
        # SessionClosed must reach its callback even if messages are left before it.
        if self._leave_messages():
            self._start_task()
            await self._finished_within(LAST_EVENTS_GRACE)

    async def _finished_within(self, seconds: float) -> bool:
        """Wait for the task, and cancel it after ``seconds``; return if it finished."""
        if self._task is None:
            return True
        await asyncio.wait({self._task}, timeout=seconds)
        finished = self._task.done()
        await cancel_and_wait(self._task, self._log.say)
        return finished

    def abort(self) -> None:
        """Stop now, whatever waits."""
        if self._task is not None:
            self._task.cancel()

    def _leave_messages(self) -> bool:
        """Leave the remaining messages in the inbox and deliver the events behind them.

        Returns:
            Whether any events were waiting for those messages.
        """
        self._left = self._callbacks.consumes
        count = len(self._inbox) if self._left else 0
        if count:
            self._log.say(
                logging.WARNING,
                "the callback for MessageReceived was too slow at the end of the "
                "session: %d received messages were not passed to it",
                count,
            )
        return self._left and bool(self._queue)

    # Queueing events.

    def post(self, event: Event) -> None:
        """Queue an event; never waits, never raises."""
        # Even if no callback wants the event: the inbox may keep it for its consumer.
        self._sign(event)
        if not self._callbacks.wants(type(event)) or self._queue.merge(event):
            return
        if isinstance(event, HandlerFailed):
            # Its cause is the user's code, not the stream, so it waits for no message.
            full = self._queue.insert_behind(self._passed, event, is_due=self._is_due)
        else:
            mark = self._taken + len(self._inbox) + self._inbox.discarded
            full = self._queue.append(mark, event)
        if full:
            text = "callbacks are too slow: an event was discarded"
            self._log.say_paced(logging.WARNING, "events", text)
        self._notify()

    def _sign(self, event: Event) -> None:
        """Write the session's name into an event, which is otherwise frozen."""
        object.__setattr__(event, "session", self._session)

    @property
    def _feeds(self) -> bool:
        """Whether the dispatcher takes messages from the inbox now."""
        return self._callbacks.consumes and not self._left

    @property
    def _passed(self) -> int:
        """The number of messages that a callback got or the inbox discarded."""
        return self._taken + self._skipped

    def _is_due(self, mark: int) -> bool:
        """Whether the messages before an event have been passed.

        Events do not wait for a consumer that pulls messages: it may never come back.
        """
        return not self._feeds or mark <= self._passed

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Running callbacks.

    async def _run(self) -> None:
        """Run callbacks for events and messages, in one order, until ``finish``."""
        while True:
            feeds = self._feeds
            if self._queue and self._is_due(self._queue.next_mark()):
                await self._deliver(self._queue.pop())
            elif feeds and self._inbox.must_yield:
                await self._inbox.yield_to_loop()
            elif feeds and (item := self._inbox.unread.take_item()) is not None:
                message = self._received(item)
                if message is not None:
                    await self._deliver(message)
            elif self._finishing:
                return
            else:
                self._wake = self._loop.create_future()
                if feeds:
                    self._inbox.set_waiter(self._wake)
                await self._wake

    def _received(
        self, item: Message | Interruption | ConnectionEnd
    ) -> MessageReceived | None:
        """Count an item taken from the inbox; if it is a message, return its event."""
        # A tuple: testing against a union costs a message three times as much.
        if isinstance(item, (str, bytes)):
            self._taken += 1
            return MessageReceived(data=item, epoch=self._inbox.unread.message_epoch)
        if isinstance(item, Interruption):
            self._skipped += item.discarded
        return None

    async def _deliver(self, event: Event) -> None:
        """Run every callback of an event, in the order of registration."""
        self._sign(event)
        for registration in self._callbacks.wanting(type(event)):
            try:
                await self._call(registration, event)
            except Exception as failure:  # noqa: BLE001 - a callback may raise anything; it is reported
                fatal = fatal_of(failure)
                if fatal is not None:
                    self._on_fatal(fatal)
                else:
                    self._complain(registration, event, failure)

    async def _call(self, registration: Registration, event: Event) -> None:
        """Run one callback, and wait for it if it is asynchronous."""
        try:
            result = registration.context.run(registration.callback, event)
        except asyncio.CancelledError:
            # The callback raised it; the dispatcher itself was not cancelled.
            raise RuntimeError("the callback raised CancelledError") from None
        # Most callbacks return None, and isawaitable is slow: test for None first.
        if result is None or not inspect.isawaitable(result):
            return
        task = self._loop.create_task(
            _awaited(result),
            name=f"resilient_ws callback {registration.name}",
            context=registration.context,
        )
        alarm = self._loop.call_later(SLOW_AFTER, self._warn_slow, registration.name)
        self._running = task
        try:
            # Awaiting the task directly would cancel the dispatcher when a callback
            # cancels itself.
            await asyncio.wait({task})
        finally:
            self._running = None
            alarm.cancel()
            task.cancel()
        if task.cancelled():
            raise RuntimeError("the callback was cancelled")
        task.result()

    def _warn_slow(self, name: str) -> None:
        self._log.say(
            logging.WARNING,
            "the callback %s has been running for %.0f s; other callbacks wait for it",
            name,
            SLOW_AFTER,
        )

    def _complain(
        self, registration: Registration, event: Event, failure: Exception
    ) -> None:
        """Log and report that a callback failed."""
        kind = type(event).__name__
        self._log.say_raised(f"the callback {registration.name} for {kind}", failure)
        without_frames(failure)
        # Otherwise a callback for HandlerFailed that fails would be called for ever.
        if not isinstance(event, HandlerFailed):
            self.post(
                HandlerFailed(handler=registration.name, event=kind, because=failure)
            )


async def _awaited(result: Awaitable[object]) -> object:
    return await result
