"""One ordered dispatcher for the user's callbacks.

Rules: callbacks run one at a time, in the order in which things happened and in the
context they were registered in. They run outside the reader, so that a slow one delays
only other callbacks. Events wait in a bounded queue. Messages do not: the dispatcher
takes them from the inbox one by one, which keeps the inbox's back-pressure. Each event
has a *mark*, the number of messages received before it; it is delivered once that many
messages have gone to the callback or been discarded by the inbox's ``overflow``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from resilient_ws.errors import Fatal, fatal_of
from resilient_ws.events import (
    ConnectionDropped,
    ConnectionOpened,
    Event,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    MessageReceived,
    OutboxOverflowed,
    PongReceived,
)
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.policy.tracebacks import without_frames


if TYPE_CHECKING:
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.protocol.message import Message
    from resilient_ws.supervisor.log import SessionLog


#: Events that may wait; beyond that the oldest are discarded and counted.
MAX_WAITING: Final = 1000
#: Seconds that a callback may run before a warning is logged.
SLOW_AFTER: Final = 30.0

#: Events that are merged with a waiting one of their class, which counts them.
_MERGED: Final = (PongReceived, LoopLagged, OutboxOverflowed, InboxOverflowed)
#: Events across which nothing is merged, so that no report spans two connections.
_BORDERS: Final = (ConnectionOpened, ConnectionDropped)


@attrs.frozen
class _Registration:
    """A callback and the context it was registered in."""

    callback: Callable[[Any], Awaitable[object] | object]
    context: contextvars.Context

    @property
    def name(self) -> str:
        return getattr(self.callback, "__qualname__", None) or repr(self.callback)


class Dispatcher:
    """Runs callbacks; its task belongs to the supervisor.

    Args:
        name: The session's name in its events.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._registered: dict[type[Event], list[_Registration]] = {}
        # Marks and their events. A list is fast enough, because it is short and
        # usually empty.
        self._waiting: list[tuple[int, Event]] = []
        #: Messages that went to the callback, and those the inbox discarded.
        self._taken = self._skipped = 0
        self._wake: asyncio.Future[None] | None = None
        self._finishing = False
        # Whether the session is over and the waiting messages stay in the inbox.
        self._left = False
        #: The task of the asynchronous callback that is running, or ``None``.
        self.running: asyncio.Task[object] | None = None
        #: Events that were discarded because callbacks were too slow.
        self.discarded = 0

    def attach(self, inbox: InboxQueue, log: SessionLog) -> None:
        """Set the log, and the inbox whose messages share one order with the events."""
        self._inbox = inbox
        self._log = log

    def register(
        self,
        kind: type[Event],
        callback: Callable[[Any], Awaitable[object] | object],
    ) -> None:
        """Run ``callback`` for each event of this class and its subclasses."""
        registration = _Registration(callback, contextvars.copy_context())
        self._registered.setdefault(kind, []).append(registration)
        self._notify()

    @property
    def needed(self) -> bool:
        """Whether the dispatcher has callbacks to run, now or later."""
        return bool(self._registered) and not self._finishing

    @property
    def consumes(self) -> bool:
        """Whether a callback consumes the messages."""
        return MessageReceived in self._registered

    def wants(self, kind: type[Event]) -> bool:
        """Whether any callback would run for this class of event."""
        return kind in self._registered or Event in self._registered

    def post(self, event: Event) -> None:
        """Queue an event; never waits, never raises."""
        # Even if no callback wants the event: the inbox may keep it for its consumer.
        object.__setattr__(event, "session", self._name)
        if not self.wants(type(event)) or self._merge(event):
            return
        if isinstance(event, HandlerFailed):
            # Its cause is the user's code, not the stream, so it waits for no message.
            due = [mark for mark, _ in self._waiting if self._is_due(mark)]
            self._waiting.insert(len(due), (self._passed, event))
        else:
            mark = self._taken + len(self._inbox) + self._inbox.discarded
            self._waiting.append((mark, event))
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[0]
            self.discarded += 1
            text = "callbacks are too slow: an event was discarded"
            self._log.say_paced(logging.WARNING, "events", text)
        self._notify()

    def _merge(self, event: Event) -> bool:
        """Merge an event with a waiting one of its class; return whether it was."""
        if not isinstance(event, _MERGED):
            return False
        for place in reversed(range(len(self._waiting))):
            mark, waiting = self._waiting[place]
            if type(waiting) is type(event):
                # The merged event keeps the place of the first. If each new one moved
                # it back, it might never be delivered while messages keep coming.
                self._waiting[place] = mark, _merged(waiting, event)
                return True
            if isinstance(waiting, _BORDERS):
                break
        return False

    @property
    def _feeds(self) -> bool:
        """Whether the dispatcher takes messages from the inbox now."""
        return self.consumes and not self._left

    @property
    def _passed(self) -> int:
        """The number of messages that a callback got or the inbox discarded."""
        return self._taken + self._skipped

    def _is_due(self, mark: int) -> bool:
        """Whether the messages before an event have been passed.

        Events do not wait for a consumer that pulls messages: it may never come back.
        """
        return not self._feeds or mark <= self._passed

    def finish(self) -> None:
        """Let ``run`` return once nothing is waiting."""
        self._finishing = True
        self._notify()

    def leave_messages(self) -> bool:
        """Leave the remaining messages in the inbox and deliver the events behind them.

        Returns:
            Whether any events were waiting for those messages.
        """
        self._left = self.consumes
        count = len(self._inbox) if self._left else 0
        if count:
            self._log.say(
                logging.WARNING,
                "the callback for MessageReceived was too slow at the end of the "
                "session: %d received messages were not passed to it",
                count,
            )
        return self._left and bool(self._waiting)

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self, *, on_fatal: Callable[[Fatal], None]) -> None:
        """Run callbacks for events and messages, in one order, until ``finish``.

        Args:
            on_fatal: Called with each ``Fatal`` that a callback raises.
        """
        self._loop = asyncio.get_running_loop()
        self._on_fatal = on_fatal
        while True:
            if self._waiting and self._is_due(self._waiting[0][0]):
                await self._deliver(self._waiting.pop(0)[1])
            elif self._feeds and self._inbox.must_yield:
                await self._inbox.yield_to_loop()
            elif self._feeds and (item := self._inbox.unread.take_item()) is not None:
                message = self._received(item)
                if message is not None:
                    await self._deliver(message)
            elif self._finishing:
                return
            else:
                self._wake = self._loop.create_future()
                if self._feeds:
                    self._inbox.set_waiter(self._wake)
                await self._wake

    def _received(
        self, item: Message | Interruption | ConnectionDropped
    ) -> MessageReceived | None:
        """Count an item taken from the inbox; if it is a message, return its event."""
        if isinstance(item, Interruption):
            self._skipped += item.discarded
            return None
        if isinstance(item, ConnectionDropped):
            return None
        self._taken += 1
        return MessageReceived(data=item, epoch=self._inbox.unread.message_epoch)

    async def _deliver(self, event: Event) -> None:
        """Run every callback of an event, in the order of registration."""
        kind = type(event)
        object.__setattr__(event, "session", self._name)
        wanted = self._registered.get(kind, ())
        if kind is not MessageReceived:
            wanted = (*wanted, *self._registered.get(Event, ()))
        for registration in wanted:
            try:
                await self._call(registration, event)
            except Exception as failure:  # noqa: BLE001 - a callback may raise anything; it is reported
                fatal = fatal_of(failure)
                if fatal is not None:
                    self._on_fatal(fatal)
                else:
                    self._complain(registration, event, failure)

    async def _call(self, registration: _Registration, event: Event) -> None:
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
        self.running = task
        try:
            # Awaiting the task directly would cancel the dispatcher when a callback
            # cancels itself.
            await asyncio.wait({task})
        finally:
            self.running = None
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
        self, registration: _Registration, event: Event, failure: Exception
    ) -> None:
        kind = type(event).__name__
        self._log.raised(f"the callback {registration.name} for {kind}", failure)
        without_frames(failure)
        # Otherwise a callback for HandlerFailed that fails would be called for ever.
        if not isinstance(event, HandlerFailed):
            self.post(
                HandlerFailed(handler=registration.name, event=kind, because=failure)
            )


async def _awaited(result: Awaitable[object]) -> object:
    return await result


def _merged(waiting: Event, event: Event) -> Event:
    """Return one event for both: the newer one's values, with the counts added up."""
    match waiting, event:
        case PongReceived(), PongReceived():
            return attrs.evolve(event, count=waiting.count + event.count)
        case LoopLagged(), LoopLagged():
            by, count = max(waiting.by, event.by), waiting.count + event.count
            return attrs.evolve(event, by=by, count=count)
        case OutboxOverflowed(), OutboxOverflowed():
            discarded = waiting.discarded + event.discarded
            count = waiting.count + event.count
            return attrs.evolve(event, discarded=discarded, count=count)
        case InboxOverflowed(), InboxOverflowed():
            discarded = waiting.discarded + event.discarded
            count = waiting.count + event.count
            return attrs.evolve(event, discarded=discarded, count=count)
        case _:
            return event
