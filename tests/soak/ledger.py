"""The oracle: what one session sent and received, number by number, on both sides.

Rules: every message carries its number. The server's log says what arrived, the echo
what came back. Within one connection numbers follow one another, up and down: a number
that is skipped must be one that the session said it would never transmit. What a drop
takes can only be the end of its connection, and the session must have said so.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from resilient_ws import DeliveryState, Interruption


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws import Delivery

#: How a session delivers: at most once, counted or told of each message, or at least
#: once.
Mode: TypeAlias = Literal["write", "pong", "resend"]

#: So many violations of one session are kept; more of them say nothing new.
_MOST_TOLD: Final = 20


class Mark(enum.IntFlag):
    """What is known of one number."""

    #: ``send`` raised or was cancelled.
    REFUSED = 1
    #: Its delivery ended unsent: expired or dropped.
    LOST = 2
    #: Its delivery ended as perhaps delivered.
    MAYBE = 4
    WRITTEN = 8
    CONFIRMED = 16
    #: The server had it.
    ARRIVED = 32
    #: It came back.
    ECHOED = 64


_NEVER_SENT: Final = Mark.REFUSED | Mark.LOST


@attrs.define
class Counts:
    """What a ledger adds up to."""

    sent: int = 0
    arrived: int = 0
    echoed: int = 0
    refused: int = 0
    told_lost: int = 0
    told_maybe: int = 0
    confirmed: int = 0
    #: Confirmed by the server's endpoint, and never seen by its application.
    confirmed_untaken: int = 0
    #: Of those written and told no more of, those that did not arrive.
    missing: int = 0
    #: Arrived, and their echo did not come back.
    lost_inbound: int = 0
    #: Sent again, and there already: at-least-once delivery does that.
    repeated: int = 0
    doubled: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of another session."""
        for name, value in attrs.asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


class Ledger:
    """The numbers of one session."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self._marks = bytearray()
        self._open: deque[tuple[int, Delivery]] = deque()
        self._newest: dict[object, int] = {}
        self._previous: int | None = None
        # Numbers passed over within one connection that have no excuse yet.
        self._skipped: list[tuple[str, list[int]]] = []
        self._repeated = 0
        self._doubled = 0
        #: Connections that the stream says were lost or replaced.
        self.interrupted = 0
        self.violations: list[str] = []

    def violate(self, what: str) -> None:
        """Note that a promise was broken."""
        if len(self.violations) < _MOST_TOLD:
            self.violations.append(what)

    # Sending.

    def next_number(self) -> int:
        """Take a number."""
        self._marks.append(0)
        return len(self._marks) - 1

    def refused(self, number: int) -> None:
        """``send`` raised, or was cancelled."""
        self._marks[number] |= Mark.REFUSED

    def accepted(self, number: int, delivery: Delivery) -> None:
        """``send`` accepted it."""
        self._open.append((number, delivery))

    @property
    def unsettled(self) -> int:
        """How many deliveries may still change."""
        self.settle()
        return len(self._open)

    def settle(self) -> None:
        """Note what became of the oldest deliveries, and forget them."""
        while self._open and self._settled(self._open[0][1]):
            number, delivery = self._open.popleft()
            self._marks[number] |= _mark_of(delivery)

    def _settled(self, delivery: Delivery) -> bool:
        written = self.mode == "write" and delivery.state is DeliveryState.WRITTEN
        return delivery.state.final or written

    # Arriving.

    def arrived(self, connection: object, number: int) -> None:
        """The server had a message on one of its connections."""
        if not 0 <= number < len(self._marks):
            self.violate(f"{number} arrived and was never sent")
            return
        self._follow("arrived", self._newest.get(connection), number)
        self._newest[connection] = number
        if self._marks[number] & Mark.ARRIVED:
            self._again(number)
        self._marks[number] |= Mark.ARRIVED

    def _again(self, number: int) -> None:
        if self.mode == "resend":
            self._repeated += 1
        else:
            self._doubled += 1
            self.violate(f"{number} arrived twice")

    def received(self, item: str | bytes | Interruption) -> int | None:
        """The session received an echo, or a hole; return the number of an echo."""
        if isinstance(item, Interruption):
            self.interrupted += item.drops
            self._previous = None
            if item.discarded:
                self.violate(f"{item.discarded} discarded by an inbox that pauses")
            return None
        number = int(str(item).partition(" ")[0])
        self._follow("came back", self._previous, number)
        self._previous = number
        if self._marks[number] & Mark.ECHOED and self.mode != "resend":
            self._doubled += 1
            self.violate(f"{number} came back twice")
        self._marks[number] |= Mark.ECHOED
        return number

    def came_back(self, number: int) -> bool:
        """Whether the echo of a number was received."""
        return bool(self._marks[number] & Mark.ECHOED)

    def _follow(self, how: str, before: int | None, number: int) -> None:
        if before is None:
            return
        if number <= before:
            self.violate(f"{number} {how} after {before}")
        elif missing := self._inexcusable(range(before + 1, number)):
            self._skipped.append((f"skipped when {number} {how}", missing))

    # The end.

    def balance(self, *, unconfirmed: int, epochs: int) -> Counts:
        """Judge it all, when nothing more will come.

        Args:
            unconfirmed: What the session said may be missing, over all its drops.
            epochs: How many connections it had.
        """
        self.settle()
        for number, delivery in self._open:
            self.violate(f"{number} is {delivery.state.value} for ever")
        counts = self._count()
        self._judge_skipped()
        if counts.missing > unconfirmed:
            self.violate(f"{counts.missing} missing, {unconfirmed} of them reported")
        if self.interrupted != max(0, epochs - 1):
            self.violate(f"{self.interrupted} interruptions of {epochs} connections")
        return counts

    def _count(self) -> Counts:
        counts = Counts(
            sent=len(self._marks), repeated=self._repeated, doubled=self._doubled
        )
        for number, bits in enumerate(self._marks):
            mark = Mark(bits)
            arrived = bool(mark & Mark.ARRIVED)
            counts.arrived += arrived
            counts.echoed += bool(mark & Mark.ECHOED)
            counts.refused += bool(mark & Mark.REFUSED)
            counts.told_lost += bool(mark & Mark.LOST)
            counts.told_maybe += bool(mark & Mark.MAYBE)
            counts.confirmed += bool(mark & Mark.CONFIRMED)
            counts.confirmed_untaken += bool(mark & Mark.CONFIRMED) and not arrived
            counts.missing += bool(mark & Mark.WRITTEN) and not arrived
            counts.lost_inbound += arrived and not mark & Mark.ECHOED
            if arrived and mark & _NEVER_SENT:
                self.violate(f"{number} arrived although it was {mark & _NEVER_SENT!r}")
            if mark & Mark.ECHOED and not arrived:
                self.violate(f"{number} came back and never arrived")
        return counts

    def _judge_skipped(self) -> None:
        for what, numbers in self._skipped:
            if missing := self._inexcusable(numbers):
                self.violate(f"{_spans(missing)} {what}")

    def _inexcusable(self, numbers: Iterable[int]) -> list[int]:
        """Leave out those that the session said it would not transmit."""
        excused = _NEVER_SENT
        if self.mode == "resend":
            # Given up after so many transmissions.
            excused |= Mark.MAYBE
        return [number for number in numbers if not self._marks[number] & excused]


def _mark_of(delivery: Delivery) -> Mark:
    if delivery.maybe_delivered:
        return Mark.MAYBE
    if delivery.state.lost:
        return Mark.LOST
    confirmed = delivery.state is DeliveryState.CONFIRMED
    return Mark.CONFIRMED if confirmed else Mark.WRITTEN


def _spans(numbers: Iterable[int]) -> str:
    first, *_, last = [*numbers] * 2
    return str(first) if first == last else f"{first}..{last}"
