"""Judge a run of the demo by the server's log and the client's record.

Rules: Every figure is computed from the evidence, without I/O or clock. A message that
is missing without a report was *lost in silence*, which is what the demo looks for.
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
    """A number that the server sent, and the epochs on which it was sent."""

    number: int
    epochs: frozenset[int] = frozenset()


@attrs.frozen(kw_only=True)
class Received:
    """A number that the server received, and the epoch on which it came."""

    number: int
    epoch: int


@attrs.frozen(kw_only=True)
class InterruptionSeen:
    """An interruption in the client's stream, and the epoch after it."""

    epoch: int


@attrs.frozen(kw_only=True)
class Evidence:
    """What both sides wrote down.

    Attributes:
        sent: What the server sent, in order.
        stream: What came out of the session, in order.
        accepted: The state of each number that was given to the session.
        received: What the server received, in order.
        unconfirmed: What each ``ConnectionDropped`` counted, by epoch.
    """

    sent: Sequence[Sent]
    stream: Sequence[int | InterruptionSeen]
    accepted: Mapping[int, DeliveryState]
    received: Sequence[Received]
    unconfirmed: Mapping[int, int]


@attrs.frozen(kw_only=True)
class DownTally:
    """What became of the numbers that the server sent.

    Attributes:
        sent: Sent since the session's first connection, to it or to nobody.
        received: Received by the session.
        missed: Sent while the session was not connected, inside a reported hole.
        lost: Sent on a connection of the session, and inside a reported hole.
        silent: Not received, and reported by nobody.
        doubled: Received more than once.
    """

    sent: int
    received: int
    missed: int
    lost: int
    silent: int
    doubled: int


@attrs.frozen(kw_only=True)
class UpTally:
    """What became of the numbers that the client sent.

    Attributes:
        accepted: Accepted by the session.
        delivered: Seen by the server.
        doubled: Seen by the server more than once.
        in_flight: Not seen, but counted by the drop that they were written before.
        refused: Not seen, and reported by their delivery.
        silent: Not seen, and reported by nobody.
    """

    accepted: int
    delivered: int
    doubled: int
    in_flight: int
    refused: int
    silent: int


@attrs.frozen(kw_only=True)
class Report:
    """What became of the numbers in both directions."""

    down: DownTally
    up: UpTally

    @property
    def lost_in_silence(self) -> int:
        """How many messages are missing without a report."""
        return self.down.silent + self.up.silent

    @property
    def holds(self) -> bool:
        """Whether nothing was lost in silence, and nothing came twice."""
        return not (self.lost_in_silence or self.down.doubled or self.up.doubled)


def judge(evidence: Evidence) -> Report:
    """Compare what both sides wrote down."""
    return Report(down=_judge_down(evidence), up=_judge_up(evidence))


def _judge_down(evidence: Evidence) -> DownTally:
    """Find what is missing from the stream, and whether a hole is in its place."""
    # Before its first connection the session could not receive anything.
    sent = list(itertools.dropwhile(lambda sent: not sent.epochs, evidence.sent))
    came = collections.Counter(n for n in evidence.stream if isinstance(n, int))
    holes = dict(_holes(evidence.stream))
    missing = [message for message in sent if message.number not in came]
    reported = [message for message in missing if _is_reported(message, holes)]
    lost = sum(bool(message.epochs) for message in reported)
    return DownTally(
        sent=len(sent),
        received=len(came),
        missed=len(reported) - lost,
        lost=lost,
        silent=len(missing) - len(reported),
        doubled=sum(came.values()) - len(came),
    )


def _holes(
    stream: Sequence[int | InterruptionSeen],
) -> Iterator[tuple[tuple[int, float], int]]:
    """Yield the numbers around each hole, and the epoch after it."""
    last = 0
    for place, item in enumerate(stream):
        if isinstance(item, int):
            last = item
            continue
        later = (n for n in stream[place:] if isinstance(n, int))
        yield (last, next(later, float("inf"))), item.epoch


def _is_reported(message: Sent, holes: Mapping[tuple[int, float], int]) -> bool:
    """Return whether a missing number lies in a hole, and was not sent after it."""
    return any(
        before < message.number < after and epoch not in message.epochs
        for (before, after), epoch in holes.items()
    )


def _judge_up(evidence: Evidence) -> UpTally:
    """Find what the server did not see, and whether that was reported."""
    seen = collections.Counter(message.number for message in evidence.received)
    missing = [number for number in evidence.accepted if number not in seen]
    refused = {n for n in missing if evidence.accepted[n].lost}
    written = [n for n in missing if evidence.accepted[n] is DeliveryState.WRITTEN]
    in_flight = _count_in_flight(written, evidence)
    return UpTally(
        accepted=len(evidence.accepted),
        delivered=len(seen),
        doubled=sum(seen.values()) - len(seen),
        in_flight=in_flight,
        refused=len(refused),
        silent=len(missing) - len(refused) - in_flight,
    )


def _count_in_flight(written: Sequence[int], evidence: Evidence) -> int:
    """Count the unseen messages that a drop can account for.

    Messages leave in order, so an unseen one left on an epoch between those of its
    neighbours that were seen. Only a drop of one of these epochs can have lost it, and
    each drop accounts for as many as it counted.
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
