"""The rules that every story of a session keeps, whatever its server and user did."""

from __future__ import annotations

import itertools
import operator
import re
from typing import TYPE_CHECKING, Final

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionStable,
    ConnectionTimedOut,
    DeliveryFailed,
    DeliveryState,
    HandlerFailed,
    Interruption,
    LivenessTimeout,
    OpenTimeout,
    PongReceived,
    RetryScheduled,
    ServerTerminated,
    SessionClosed,
    State,
    StateChanged,
)
from resilient_ws.policy.reconnect import MIN_DIAL_SPACING
from resilient_ws.state import TRANSITIONS
from tests.record import of


if TYPE_CHECKING:
    from resilient_ws import Event
    from tests.session.interleaving.plans import UserPlan
    from tests.session.interleaving.record import Record

#: Beyond ``timeouts.close``: the peer's hang-up, and what waits for callbacks.
CLOSING_TAKES: Final = 2.0 + 1.0 + 1.0 + 0.1

_STATES: Final = {
    State.CONNECTING: "C",
    State.RESTORING: "R",
    State.OPEN: "O",
    State.BACKOFF: "B",
    State.CLOSING: "X",
    State.CLOSED: "Z",
}
_SIGNS: Final = {
    ConnectionOpened: "o",
    ConnectionStable: "s",
    ConnectionDropped: "D",
    ServerTerminated: "T",
    ConnectionTimedOut: "t",
    AttemptFailed: "A",
    RetryScheduled: "r",
    SessionClosed: "E",
}

#: One attempt: it failed before it was open, or was dropped after; or it was replaced.
#: A time-out or a termination comes right before what it led to.
_ATTEMPT: Final = "C(?:t?A|R[tT]?A|ROos?[tT]?D|(?:R|ROos?)?t?)"
_STORY: Final = re.compile(f"(?:{_ATTEMPT}Br)*(?:{_ATTEMPT})?Xt?ZE")


def judge(record: Record, plan: UserPlan) -> None:
    """Raise AssertionError for the first rule that was broken."""
    assert record.disturbed == []
    assert record.delayed == []
    assert record.timers == []
    assert record.closing_took <= CLOSING_TAKES
    events_tell_one_story(record)
    causes_come_before_losses(record)
    epochs = epochs_in_order(record)
    callbacks_hear_what_was_reported(record)
    pongs_answer_pings(record)
    connections_come_one_by_one(record)
    stream_is_whole(record, epochs)
    if plan.overflow in {"pause", "close"}:
        nothing_is_discarded(record)
    what_came_before_an_end_arrived(record, epochs)
    nothing_is_sent_twice_or_out_of_order(record)
    deliveries_are_honest(record)
    what_is_missing_was_reported(record, epochs)


def events_tell_one_story(record: Record) -> None:
    story = ""
    state = State.IDLE
    for event in record.reported:
        if isinstance(event, StateChanged):
            assert event.previous is state
            assert event.current in TRANSITIONS[state]
            state = event.current
            story += _STATES[state]
        else:
            story += _SIGNS.get(type(event), "")
    assert _STORY.fullmatch(story), story
    waits = [
        e.retry_in
        for e in of(record.reported, StateChanged)
        if e.current is State.BACKOFF
    ]
    assert waits == [e.delay for e in of(record.reported, RetryScheduled)]


def causes_come_before_losses(record: Record) -> None:
    """A time-out or a termination by the server is told right before, and only then."""
    told = [e for e in record.reported if type(e) in _SIGNS]
    for before, event in itertools.pairwise([None, *told]):
        if not isinstance(event, AttemptFailed | ConnectionDropped):
            continue
        because = event.because
        timed_out = isinstance(before, ConnectionTimedOut)
        assert timed_out is isinstance(because, LivenessTimeout | OpenTimeout)
        close = because.close if isinstance(because, ConnectionLost) else None
        by_peer = close is not None and close.initiator == "peer"
        assert isinstance(before, ServerTerminated) is by_peer


def epochs_in_order(record: Record) -> dict[int, int]:
    """Return the epoch of each attempt that was open."""
    epochs: dict[int, int] = {}
    newest = 0
    for event in record.reported:
        if isinstance(event, ConnectionOpened):
            newest += 1
            assert event.epoch == newest
            epochs[int(event.endpoint.rpartition("/")[2])] = newest
        elif isinstance(event, ConnectionStable | ConnectionDropped):
            assert event.epoch == newest
    assert sorted(epochs) == list(epochs)
    assert record.statistics is not None
    assert record.statistics.opened == newest
    assert record.statistics.drops == len(of(record.reported, ConnectionDropped))
    for attempt in epochs:
        served = record.of(attempt)
        assert served is not None
        assert served.peer.accepted
    return epochs


def callbacks_hear_what_was_reported(record: Record) -> None:
    """All of it, unless a callback that would not return was in the way at the end."""
    heard, reported = _unmerged(record.heard), _unmerged(record.reported)
    assert heard == reported[: len(heard)]
    assert len(of(record.reported, HandlerFailed)) == record.raised


def _unmerged(events: list[Event]) -> list[Event]:
    return [e for e in events if not hasattr(e, "count")]


def pongs_answer_pings(record: Record) -> None:
    """Those of this connection, and each once."""
    pongs = 0
    attempt = None
    for event in [*record.reported, None]:
        if isinstance(event, PongReceived):
            pongs += 1
        elif isinstance(event, ConnectionOpened):
            attempt = int(event.endpoint.rpartition("/")[2])
        elif _begins_or_ends(event):
            served = None if attempt is None else record.of(attempt)
            if served is not None:
                assert pongs <= len(served.peer.pings)
            pongs, attempt = 0, None


def _begins_or_ends(event: Event | None) -> bool:
    """Whether an attempt begins, or the story is over."""
    return event is None or (
        isinstance(event, StateChanged) and event.current is State.CONNECTING
    )


def connections_come_one_by_one(record: Record) -> None:
    for earlier, later in itertools.pairwise(record.served):
        assert later.requested_at - earlier.requested_at >= MIN_DIAL_SPACING - 0.02
        if not earlier.froze:
            assert earlier.peer.gone
            assert earlier.peer.gone_at <= later.requested_at


def stream_is_whole(record: Record, epochs: dict[int, int]) -> None:
    """Every hole is in its place, and between two holes every message is in its."""
    epoch, drops, discarded = 1, 0, 0
    expected: dict[int, int] = {}
    since_hole = False
    for item in record.items:
        if isinstance(item, Interruption):
            epoch += item.drops
            discarded += item.discarded
            since_hole = True
            drops += item.drops
            assert item.epoch == epoch
            assert item.since <= item.until
            continue
        attempt, number = stamp(item)
        assert epochs[attempt] == epoch
        first = 0 if attempt not in record.taken else len(record.taken[attempt])
        due = expected.get(attempt, first)
        # What overflows is missing at a hole, and nowhere else.
        assert number == due or (number > due and since_hole)
        expected[attempt] = number + 1
        since_hole = False
    assert record.statistics is not None
    assert drops == max(0, len(epochs) - 1)
    assert discarded == record.statistics.inbox_discarded


def stamp(item: str | bytes) -> tuple[int, int]:
    """Which attempt a message belongs to, and its place in it."""
    attempt, _, number = str(item).partition(":")
    return int(attempt), int(number)


def nothing_is_discarded(record: Record) -> None:
    assert record.statistics is not None
    assert record.statistics.inbox_discarded == 0
    got = {stamp(item) for item in record.items if not isinstance(item, Interruption)}
    for served in record.served:
        numbers = sorted(number for attempt, number in got if attempt == served.attempt)
        first = len(record.taken.get(served.attempt, ()))
        assert numbers == list(range(first, first + len(numbers)))


def what_came_before_an_end_arrived(record: Record, epochs: dict[int, int]) -> None:
    """A peer that ends in order, by a close frame, has its last word heard."""
    ends = {e.epoch: e.because for e in of(record.reported, ConnectionDropped)}
    assert record.statistics is not None
    for attempt, epoch in epochs.items():
        because = ends.get(epoch)
        served = record.of(attempt)
        assert served is not None
        if not isinstance(because, ConnectionLost) or because.how not in {
            "close",
            "half_close",
        }:
            continue
        came = [item for item in record.items if not isinstance(item, Interruption)]
        came += record.taken.get(attempt, [])
        missing = [text for text in served.sent if text not in came]
        assert len(missing) <= record.statistics.inbox_discarded, missing


def nothing_is_sent_twice_or_out_of_order(record: Record) -> None:
    arrived: list[str] = []
    for served in record.served:
        texts = [str(data) for data in served.peer.received]
        hello = f"hello {served.attempt}"
        if served.attempt in record.greeted and texts:
            assert texts.pop(0) == hello
        assert not any(text.startswith("hello") for text in texts)
        arrived += texts
    assert len(set(arrived)) == len(arrived)
    assert set(arrived).isdisjoint(record.refused)
    in_order = sorted(record.accepted, key=lambda a: a.delivery.sequence)
    known = iter(a.text for a in in_order)
    assert all(text in known for text in arrived)
    by_sender = operator.attrgetter("sender")
    for _, mine in itertools.groupby(sorted(in_order, key=by_sender), key=by_sender):
        sent = [int(a.text.split(".")[1]) for a in mine]
        assert sent == sorted(sent)


def deliveries_are_honest(record: Record) -> None:
    arrived = {data for served in record.served for data in served.peer.received}
    lost = 0
    for accepted in record.accepted:
        delivery = accepted.delivery
        assert delivery.state is not DeliveryState.QUEUED
        assert delivery.state is not DeliveryState.CONFIRMED
        if delivery.state.lost:
            lost += 1
            assert accepted.text not in arrived
            assert not delivery.maybe_delivered
    assert record.statistics is not None
    assert record.statistics.outbox_lost == lost
    assert len(of(record.reported, DeliveryFailed)) == lost


def what_is_missing_was_reported(record: Record, epochs: dict[int, int]) -> None:
    """Nothing is missing in the middle, and at the end no more than was counted."""
    unconfirmed = {
        e.epoch: e.unconfirmed for e in of(record.reported, ConnectionDropped)
    }
    for attempt, epoch in epochs.items():
        served, written = record.of(attempt), record.written[epoch]
        assert served is not None
        arrived = served.peer.received
        assert written[: len(arrived)] == arrived
        missing = len(written) - len(arrived)
        if epoch in unconfirmed:
            assert missing <= unconfirmed[epoch]
        elif served.peer.close_received is not None:
            # Ended by us, and the server heard us out.
            assert missing == 0
