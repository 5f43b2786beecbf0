"""Requests that wait for their answers.

Rules: a call goes out on one connection, and its answers are expected there. When that
connection ends, the call fails at once, or goes out again on the next one where it is
repeatable. Each call ends in exactly one way, and no call outlives its timeout. A call
that never left this machine is never told as executed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from resilient_ws.feeds.errors import CallLost, CallTimeout, renewed
from resilient_ws.protocol.message import Message


if TYPE_CHECKING:
    from resilient_ws import Delivery
    from resilient_ws.feeds.errors import FeedError
    from resilient_ws.feeds.links import Link, Links


Id: TypeAlias = Hashable

#: A request, or a function that makes it each time it is sent. The function is told
#: whether the server may have got it before: some protocols mark what is sent again.
RequestMessage: TypeAlias = Message | Callable[[bool], Message]

#: The value of an answer, and the error that came instead. As a value: an exception set
#: on a future whose task was just cancelled would be logged as never retrieved.
Outcome: TypeAlias = tuple[Any, Exception | None]


class Call:
    """One message with one request, or several, and what is known of their answers."""

    __slots__ = (
        "_ids",
        "again",
        "delivery",
        "done",
        "link",
        "outcomes",
        "repeat",
        "sending",
    )

    def __init__(self, ids: Sequence[Id], *, repeat: bool) -> None:
        self._ids = ids
        self.repeat = repeat
        #: Whether it was written on an earlier connection.
        self.again = False
        self.link: Link | None = None
        self.delivery: Delivery | None = None
        self.outcomes: dict[Id, Outcome] = {}
        #: Completes with all answers, or with the end of the connection.
        self.done: asyncio.Future[None] | None = None
        #: Ends the wait for room in the outbox, while the message waits for it.
        self.sending: asyncio.Timeout | None = None

    @property
    def maybe_executed(self) -> bool:
        """Whether the server may have got it."""
        delivery = self.delivery
        return self.again or (delivery is not None and delivery.transmissions > 0)

    @property
    def complete(self) -> bool:
        """Whether each request has an outcome."""
        return len(self.outcomes) == len(self._ids)

    def answer(self, id: Id, outcome: Outcome) -> bool:
        """Take an answer; return whether it was the first to this request."""
        if id in self.outcomes:
            return False
        self.outcomes[id] = outcome
        if self.complete:
            self.wake()
        return True

    def fail(self, failure: Exception) -> None:
        """End the requests that have no answer."""
        for name in self._ids:
            if name not in self.outcomes:
                # A copy each: an exception collects the frames of all who raise it.
                self.outcomes[name] = None, renewed(failure)
        self.wake()

    def wake(self) -> None:
        """Let the caller look."""
        if self.done is not None and not self.done.done():
            self.done.set_result(None)
            if self.sending is not None:
                # The session lets those who wait go one after another.
                self.sending.reschedule(asyncio.get_running_loop().time())


class Calls:
    """The calls of one channel.

    Args:
        links: The connections of the session.
        max_in_flight: Calls that wait for an answer at once; more wait for their turn,
            which counts against their timeouts.
    """

    def __init__(self, links: Links, *, max_in_flight: int) -> None:
        self._links = links
        self._slots = asyncio.Semaphore(max_in_flight)
        self._pending: dict[Id, Call] = {}

    def __len__(self) -> int:
        """Count the requests that wait for an answer."""
        return len(self._pending)

    async def call(
        self,
        ids: Sequence[Id],
        message: RequestMessage,
        *,
        timeout: float,
        repeat: bool = False,
        link: Link | None = None,
    ) -> list[Outcome]:
        """Send requests in one message, and return their outcomes in order.

        Args:
            ids: What the replies will name.
            message: The requests, or what makes them.
            timeout: Seconds for all of it: the turn, the connection, the answers.
            repeat: Whether they may be executed twice, and so go out again when their
                connection ends.
            link: The only connection that they may go out on; ``None`` for the one that
                is open, or else the next.

        Raises:
            Exception: What ended the session, or kept the message from being sent.
            ValueError: A request with such an id waits for its answer already.

        Cancellation:
            The answers are no longer expected; the server may carry the requests out.
        """
        call = Call(ids, repeat=repeat)
        try:
            async with asyncio.timeout(timeout), self._slots:
                await self._answered(ids, message, call, link)
        except TimeoutError:
            maybe = call.maybe_executed
            sent = "it was sent" if maybe else "it was not sent"
            call.fail(
                CallTimeout(
                    f"No answer came within {timeout:g} s ({sent}).",
                    after=timeout,
                    maybe_executed=maybe,
                )
            )
        return [call.outcomes[name] for name in ids]

    async def _answered(
        self, ids: Sequence[Id], message: RequestMessage, call: Call, link: Link | None
    ) -> None:
        if len(set(ids)) < len(ids) or not self._pending.keys().isdisjoint(ids):
            raise ValueError("A request with this id waits for its answer already.")
        self._pending.update(dict.fromkeys(ids, call))
        try:
            while not call.complete:
                await self._transmit(message, call, link)
        finally:
            for name in ids:
                del self._pending[name]

    async def _transmit(
        self, message: RequestMessage, call: Call, link: Link | None
    ) -> None:
        """Send a call, and wait for its answers or the end of its connection."""
        call.link = link or await self._links.current()
        call.done = asyncio.get_running_loop().create_future()
        wire = message(call.again) if callable(message) else message
        delivery = await self._send(wire, call, call.link)
        if delivery is None:
            return
        call.delivery = delivery
        if not delivery.state.lost:
            if not call.complete:
                await call.done
        elif link is None:
            # The connection ended before the message left: the next one will do.
            gone, call.link = call.link.gone, None
            await gone.wait()
        else:
            call.fail(_lost(call, _ENDED))

    async def _send(self, message: Message, call: Call, link: Link) -> Delivery | None:
        """Send a call, unless it is woken before there is room for it."""
        sending = call.sending = asyncio.timeout(None)
        try:
            async with sending:
                return await link.send(message)
        except TimeoutError:
            if not sending.expired():
                raise
            return None
        finally:
            call.sending = None

    # What the pump tells.

    def answered(self, id: Id, value: object, error: FeedError | None) -> bool:
        """Pass on a reply; return whether anything waited for it."""
        call = self._pending.get(id)
        return call is not None and call.answer(id, (value, error))

    def lost(self, link: Link | None = None) -> None:
        """End the calls whose answers can no longer be expected.

        Args:
            link: The connection that ended; ``None`` where answers of the open one were
                discarded.
        """
        for call in set(self._pending.values()):
            if call.link is None or (link or call.link) is not call.link:
                continue
            if not call.repeat:
                call.fail(_lost(call, _DISCARDED if link is None else _ENDED))
            else:
                call.again = call.maybe_executed
                call.wake()


_ENDED: Final = "The connection ended before the answer came"
_DISCARDED: Final = "The answer may be among messages that the inbox discarded"


def _lost(call: Call, what: str) -> CallLost:
    maybe = call.maybe_executed
    may = "the server may have carried it out" if maybe else "it was not sent"
    return CallLost(f"{what}; {may}.", maybe_executed=maybe)


def value_of(outcome: Outcome) -> Any:
    """Return the value of an answer, or raise its error."""
    value, error = outcome
    if error is not None:
        raise error
    return value
