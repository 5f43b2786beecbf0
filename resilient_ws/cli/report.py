"""The verdict: what the server's log and the client's record say when held together.

Rules: pure, and every figure is computed from the evidence; what nobody was told of
is *lost in silence*, and is what the demo looks for.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from resilient_ws import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen(kw_only=True)
class Sent:
    """One number that the server sent, and the epochs it was sent on."""

    number: int
    epochs: frozenset[int] = frozenset()


@attrs.frozen(kw_only=True)
class Received:
    """One number that the server received, and the epoch it came on."""

    number: int
    epoch: int


@attrs.frozen(kw_only=True)
class Hole:
    """An interruption in the client's stream, and the epoch that came after it."""

    epoch: int


@attrs.frozen(kw_only=True)
class Evidence:
    """What both sides wrote down.

    Attributes:
        sent: By the server, in order.
        stream: What came out of the session, in order.
        accepted: The numbers given to the session, and what became of each.
        received: By the server, in order.
        unconfirmed: By epoch, what its ``ConnectionDropped`` said.
    """

    sent: Sequence[Sent]
    stream: Sequence[int | Hole]
    accepted: Mapping[int, DeliveryState]
    received: Sequence[Received]
    unconfirmed: Mapping[int, int]


@attrs.frozen(kw_only=True)
class Down:
    """What became of the numbers that the server sent.

    Attributes:
        sent: Since the session's first connection, to whoever was there.
        received: By the session.
        missed: Sent while it was not connected, inside a reported hole.
        lost: Sent on a connection of its, and inside a reported hole.
        silent: Not received, and nobody said so.
        doubled: Received more than once.
    """

    sent: int
    received: int
    missed: int
    lost: int
    silent: int
    doubled: int


@attrs.frozen(kw_only=True)
class Up:
    """What became of the numbers that the client sent.

    Attributes:
        accepted: Given to the session.
        delivered: Seen by the server.
        doubled: Seen by it more than once.
        in_flight: Not seen, but written shortly before a drop, which counted them.
        refused: Not seen, and their delivery says so.
        silent: Not seen, and nobody said so.
    """

    accepted: int
    delivered: int
    doubled: int
    in_flight: int
    refused: int
    silent: int


@attrs.frozen(kw_only=True)
class Report:
    """Both ways together."""

    down: Down
    up: Up

    @property
    def lost_in_silence(self) -> int:
        """How many messages are gone, and nobody was told."""
        return self.down.silent + self.up.silent

    @property
    def holds(self) -> bool:
        """Whether the session kept its word: no silent loss, nothing twice."""
        return not (self.lost_in_silence or self.down.doubled or self.up.doubled)


def judge(evidence: Evidence) -> Report:
    """Hold the two sides together."""
    return Report(down=_judge_down(evidence), up=_judge_up(evidence))


def _judge_down(evidence: Evidence) -> Down:
    """Find what is missing from the stream, and whether a hole is in its place."""
    # Before its first connection the session had nobody to hear.
    sent = list(itertools.dropwhile(lambda sent: not sent.epochs, evidence.sent))
    came = collections.Counter(n for n in evidence.stream if isinstance(n, int))
    holes = dict(_holes(evidence.stream))
    missing = [message for message in sent if message.number not in came]
    told = [message for message in missing if _is_told_of(message, holes)]
    lost = sum(bool(message.epochs) for message in told)
    return Down(
        sent=len(sent),
        received=len(came),
        missed=len(told) - lost,
        lost=lost,
        silent=len(missing) - len(told),
        doubled=sum(came.values()) - len(came),
    )


def _holes(stream: Sequence[int | Hole]) -> Iterator[tuple[tuple[int, float], int]]:
    """Give each hole as the numbers around it, and the epoch that came after it."""
    last = 0
    for place, item in enumerate(stream):
        if isinstance(item, int):
            last = item
            continue
        later = (n for n in stream[place:] if isinstance(n, int))
        yield (last, next(later, float("inf"))), item.epoch


def _is_told_of(message: Sent, holes: Mapping[tuple[int, float], int]) -> bool:
    """Whether a missing number lies in a hole, and was not sent after its end."""
    return any(
        before < message.number < after and epoch not in message.epochs
        for (before, after), epoch in holes.items()
    )


def _judge_up(evidence: Evidence) -> Up:
    """Find what the server did not see, and whether the client was told."""
    seen = collections.Counter(message.number for message in evidence.received)
    missing = [number for number in evidence.accepted if number not in seen]
    refused = {n for n in missing if evidence.accepted[n].lost}
    written = [n for n in missing if evidence.accepted[n] is DeliveryState.WRITTEN]
    in_flight = _count_in_flight(written, evidence)
    return Up(
        accepted=len(evidence.accepted),
        delivered=len(seen),
        doubled=sum(seen.values()) - len(seen),
        in_flight=in_flight,
        refused=len(refused),
        silent=len(missing) - len(refused) - in_flight,
    )


def _count_in_flight(written: Sequence[int], evidence: Evidence) -> int:
    """Count the unseen messages that a drop at their place in the order accounts for.

    Messages leave in order, so an unseen one left on an epoch between those of its
    neighbours that were seen; only what dropped there can have taken it along.
    """
    epochs = {message.number: message.epoch for message in evidence.received}
    room = dict(evidence.unconfirmed)
    counted = 0
    for number in written:
        first = max((e for n, e in epochs.items() if n < number), default=0)
        last = min((e for n, e in epochs.items() if n > number), default=None)
        for epoch in sorted(room):
            if first <= epoch and (last is None or epoch < last) and room[epoch]:
                room[epoch] -= 1
                counted += 1
                break
    return counted
