"""Limits the dials of all sessions of a process that share a ``ConnectLimiter``.

Rules: a session waits for a *slot* before each attempt, and the attempt's timeout is
suspended while it waits. A cancelled attempt leaves the queue, or gives back its slot,
at once. A slot is released when the dial ends, successfully or not.
``policy.dial_queue`` decides which attempt is next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from resilient_ws.eventloop.affinity import home_of
from resilient_ws.policy._validate import (
    positive,
    positive_int,
    positive_int_or_none,
    seconds,
)
from resilient_ws.policy.dial_queue import DialQueue


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from resilient_ws.eventloop.affinity import Home


@attrs.define(eq=False, repr=False)
class ConnectLimiter:
    """A limit on dials that many sessions share: ``connect(..., limiter=limiter)``.

    A server that limits connections (say, 300 in 5 minutes from one address) may ban an
    address from which a thousand sessions reconnect at once after an outage. Sessions
    that share a limiter wait in one line, first come, first served; one whose attempt
    fails goes to the end of the line. Make one limiter for each such server.

    No window of ``per`` seconds ever holds more than ``rate`` dials, neither as they
    leave this machine nor as they reach the server. To ensure this, a dial counts until
    ``per`` seconds after its end, so slow handshakes make the pace a little slower than
    ``rate`` suggests. A burst of ``rate`` dials is within the limit; ``rate=1`` with a
    smaller ``per`` spaces them out. Each redirect counts as another dial.

    An attempt holds its slot only for the dial: ``on_open`` runs after the release. It
    waits for the slot after the backoff, in state ``CONNECTING``. ``AttemptQueued``
    reports the wait, and ``repr`` shows the length of the line. The wait does not count
    against ``timeouts.open``, but it does against ``wait_open``. ``retry_now`` and
    ``reconnect`` do not jump the line. Your ``url`` and ``headers`` callables are
    called when the wait is over.

    A limiter belongs to the loop on which it was first used, and to one process.

    Attributes:
        rate: How many dials may fall within any window of ``per`` seconds.
        per: The length of the window, in seconds.
        concurrency: How many dials may be under way at once (callables, DNS, TCP,
            proxy, TLS and handshake); ``None``, the default, means as many as ``rate``
            allows.

    Raises:
        TypeError: A value is not a number of the right kind.
        ValueError: A value is not positive, or not finite.
    """

    rate: int = attrs.field(validator=positive_int, on_setattr=attrs.setters.frozen)
    per: float = attrs.field(
        converter=seconds, validator=positive, on_setattr=attrs.setters.frozen
    )
    concurrency: int | None = attrs.field(
        default=None,
        validator=positive_int_or_none,
        on_setattr=attrs.setters.frozen,
    )
    _governor: Governor | None = attrs.field(init=False, default=None)

    def __repr__(self) -> str:
        at_once = "" if self.concurrency is None else f", {self.concurrency} at once"
        return (
            f"<ConnectLimiter {self.rate} per {self.per:g} s{at_once}: "
            f"{self.waiting} waiting, {self.in_use} in use>"
        )

    @property
    def waiting(self) -> int:
        """How many attempts are waiting for a slot."""
        return 0 if self._governor is None else self._governor.queue.waiting

    @property
    def in_use(self) -> int:
        """How many attempts hold a slot."""
        return 0 if self._governor is None else self._governor.queue.under_way

    def _governor_at(self, home: Home) -> Governor:
        """Return the governor; the first call binds the limiter to a loop."""
        if self._governor is None:
            queue = DialQueue[Slot](
                rate=self.rate, per=self.per, concurrency=self.concurrency
            )
            self._governor = Governor(queue, home)
        elif self._governor.home is not home:
            raise RuntimeError(
                "The limiter belongs to the event loop on which it was first used; "
                "make one ConnectLimiter for each loop."
            )
        return self._governor


def governor_of(limiter: ConnectLimiter, loop: asyncio.AbstractEventLoop) -> Governor:
    """Return the limiter's governor; the first call binds the limiter to the loop.

    Raises:
        RuntimeError: The limiter belongs to another loop.
    """
    # Private, so that the public interface of the limiter stays small.
    return limiter._governor_at(home_of(loop))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class Governor:
    """Hands out the slots of one limiter to the attempts of all sessions.

    Args:
        queue: Decides which attempt is next.
        home: Where the limiter belongs; the clock of its loop counts.
    """

    def __init__(self, queue: DialQueue[Slot], home: Home) -> None:
        self.queue = queue
        self.home = home
        self._loop = home.loop
        self._alarm: asyncio.TimerHandle | None = None

    def join(self, slot: Slot) -> None:
        """Put an attempt at the end of the queue."""
        self.queue.join(slot)
        self._proceed(self._loop.time())

    def dial_again(self, slot: Slot) -> None:
        """Queue an attempt for another dial, which a redirect needs."""
        now = self._loop.time()
        self.queue.dial_again(slot, now)
        self._proceed(now)

    def leave(self, slot: Slot, *, dialled: bool) -> None:
        """Remove an attempt, whether it is waiting or holds a slot."""
        now = self._loop.time()
        self.queue.leave(slot, now, dialled=dialled)
        self._proceed(now)

    def _proceed(self, now: float) -> None:
        """Admit every attempt that is due, and set the alarm for the next."""
        while (slot := self.queue.admit(now)) is not None:
            slot.admitted()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.queue.due()
        if due is not None:
            self._alarm = self._loop.call_at(due, self._ring, due)

    def _ring(self, due: float) -> None:
        # A timer may fire early by the clock's resolution. Without max(), nothing would
        # be due yet.
        self._proceed(max(due, self._loop.time()))


class Slot:
    """The slot of one attempt: a context manager that waits for it and releases it.

    Args:
        governor: The governor that admits the attempt; ``None`` to never wait.
        scope: The timeout of the attempt, which is suspended during each wait.
        queued: Called with the number of attempts ahead, if this one has to wait.
    """

    def __init__(
        self,
        governor: Governor | None,
        scope: asyncio.Timeout,
        queued: Callable[[int], None],
    ) -> None:
        self._governor = governor
        self._scope = scope
        self._queued = queued
        self._turn: asyncio.Future[None] | None = None
        self._dialled = False

    async def __aenter__(self) -> Self:
        """Wait for the slot.

        Cancellation:
            The attempt leaves the queue at once.
        """
        governor = self._governor
        if governor is None:
            return self
        self._turn = asyncio.get_running_loop().create_future()
        governor.join(self)
        try:
            if not self._turn.done():
                self._queued(governor.queue.waiting - 1)
            await self._wait(self._turn)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    async def dial(self) -> None:
        """Begin a dial; a second one, for a redirect, may have to wait.

        Cancellation:
            Safe.
        """
        if self._governor is not None and self._dialled:
            self._dialled = False
            self._turn = asyncio.get_running_loop().create_future()
            self._governor.dial_again(self)
            await self._wait(self._turn)
        self._dialled = True

    def admitted(self) -> None:
        """End the wait; the governor calls this."""
        # An attempt that was just cancelled is still in the queue. Its future is done,
        # and it will give the slot back.
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def _wait(self, turn: asyncio.Future[None]) -> None:
        """Wait for the governor, with the attempt's timeout suspended."""
        until = self._scope.when()
        if until is None or self._scope.expired():
            await turn
            return
        loop = asyncio.get_running_loop()
        left = until - loop.time()
        self._scope.reschedule(None)
        await turn
        self._scope.reschedule(loop.time() + left)

    def _leave(self) -> None:
        if self._governor is not None:
            self._governor.leave(self, dialled=self._dialled)
