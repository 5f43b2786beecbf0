"""Each message has one place, moves as the table allows, and is counted where it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from resilient_ws import Delivery, DeliveryState, Outbox
from resilient_ws.outbox.delivery import MOVES, Place, Terms
from resilient_ws.outbox.places import Places, place_of


if TYPE_CHECKING:
    from collections.abc import Callable

ROOM: Final = 5
ROOM_BYTES: Final = 1000
TERMS: Final = Terms(DeliveryState.CONFIRMED, lambda: None)
#: Those that are counted.
HELD: Final = (Place.SAVING, Place.WAITING, Place.CLAIMED, Place.IN_FLIGHT)


def delivery_of(size: int, sequence: int = 1) -> Delivery:
    return Delivery(TERMS, sequence, "x" * size, size, None, None, None)


def places_of(*, resend: bool = False) -> Places:
    return Places(
        Outbox(confirm="pong", resend=resend, max_messages=ROOM, max_bytes=ROOM_BYTES)
    )


def one(places: Places, delivery: Delivery, place: Place) -> None:
    places.move(delivery, place)


def together(places: Places, delivery: Delivery, place: Place) -> None:
    places.move_all([delivery], place)


def way_to(place: Place) -> list[Place]:
    """The places on a way to one that begins where a message begins."""
    ways = {Place.NEW: [Place.NEW]}
    while place not in ways:
        for origin in [*ways]:
            for following in MOVES[origin] - set(ways):
                ways[following] = [*ways[origin], following]
    return ways[place]


@pytest.mark.parametrize("move", [one, together])
@pytest.mark.parametrize("target", Place)
@pytest.mark.parametrize("origin", Place)
def test_only_the_moves_of_the_table_are_made(
    origin: Place, target: Place, move: Callable[..., None]
) -> None:
    places, delivery = places_of(), delivery_of(10)
    for place in way_to(origin)[1:]:
        move(places, delivery, place)
    assert place_of(delivery) is origin
    if target in MOVES[origin]:
        move(places, delivery, target)
        assert place_of(delivery) is target
        assert counted(places) == recounted([delivery])
    else:
        before = counted(places)
        with pytest.raises(AssertionError, match=f"{origin.name} to {target.name}"):
            move(places, delivery, target)
        assert place_of(delivery) is origin
        assert counted(places) == before


def test_what_is_gone_stays_gone_and_everything_can_go() -> None:
    assert MOVES[Place.GONE] == frozenset()
    assert all(Place.GONE in MOVES[place] for place in Place if place is not Place.GONE)
    assert all(Place.NEW not in moves for moves in MOVES.values())
    assert set(MOVES) == set(Place)


def test_a_batch_moves_from_one_place() -> None:
    places = places_of()
    waiting, saving = delivery_of(1), delivery_of(2)
    places.move(waiting, Place.WAITING)
    places.move(saving, Place.SAVING)
    with pytest.raises(AssertionError, match="SAVING to CLAIMED"):
        places.move_all([waiting, saving], Place.CLAIMED)
    places.move_all([], Place.CLAIMED)


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("place", HELD)
def test_what_takes_room(place: Place, resend: bool) -> None:
    places = places_of(resend=resend)
    deliveries = [delivery_of(100) for _ in range(ROOM)]
    for step in way_to(place)[1:]:
        places.move_all(deliveries, step)
    takes_room = resend or place is not Place.IN_FLIGHT
    assert places.room_taken() == ((ROOM, 500) if takes_room else (0, 0))
    assert places.fits(0) is not takes_room
    places.move(deliveries[0], Place.GONE)
    assert places.fits(0)
    assert places.fits(600)
    assert places.fits(601) is not takes_room


def counted(places: Places) -> dict[Place, tuple[int, int]]:
    """What the places say."""
    loads = (places.saving, places.waiting, places.claimed, places.in_flight)
    return {
        place: (load.messages, load.size)
        for place, load in zip(HELD, loads, strict=True)
    }


def recounted(deliveries: list[Delivery]) -> dict[Place, tuple[int, int]]:
    """The same, counted anew."""
    messages, sizes = Counter[Place](), Counter[Place]()
    for delivery in deliveries:
        messages[place_of(delivery)] += 1
        sizes[place_of(delivery)] += delivery.size
    return {place: (messages[place], sizes[place]) for place in HELD}


class PlacesMachine(RuleBasedStateMachine):
    """Any moves in any order, one by one and together."""

    @initialize(resend=st.booleans())
    def begin(self, resend: bool) -> None:
        self.resend = resend
        self.places = places_of(resend=resend)
        self.deliveries: list[Delivery] = []

    @rule(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=4))
    def arrive(self, sizes: list[int]) -> None:
        self.deliveries += [delivery_of(size) for size in sizes]

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        movable = [d for d in self.deliveries if MOVES[place_of(d)]]
        if movable:
            delivery = data.draw(st.sampled_from(movable))
            moves = sorted(MOVES[place_of(delivery)], key=lambda place: place.index)
            self.places.move(delivery, data.draw(st.sampled_from(moves)))

    @rule(data=st.data(), origin=st.sampled_from([p for p in Place if MOVES[p]]))
    def move_together(self, data: st.DataObject, origin: Place) -> None:
        there = [d for d in self.deliveries if place_of(d) is origin]
        batch = there[: data.draw(st.integers(0, len(there)))]
        moves = sorted(MOVES[origin], key=lambda place: place.index)
        self.places.move_all(batch, data.draw(st.sampled_from(moves)))

    @invariant()
    def nothing_drifts(self) -> None:
        if not hasattr(self, "places"):
            return
        assert counted(self.places) == recounted(self.deliveries)
        held = HELD if self.resend else HELD[:-1]
        inside = [d for d in self.deliveries if place_of(d) in held]
        size = sum(delivery.size for delivery in inside)
        assert self.places.room_taken() == (len(inside), size)
        for more in (0, ROOM_BYTES - size, ROOM_BYTES - size + 1):
            fits = len(inside) < ROOM and size + more <= ROOM_BYTES
            assert self.places.fits(more) is fits


def test_counts_and_room_never_drift() -> None:
    run_state_machine_as_test(
        PlacesMachine,
        settings=settings(max_examples=100, stateful_step_count=40, deadline=None),
    )


@given(
    sizes=st.lists(st.integers(0, 100), max_size=20),
    choices=st.lists(st.integers(0, 3), max_size=10),
)
def test_together_is_the_same_as_one_by_one(
    sizes: list[int], choices: list[int]
) -> None:
    singly, jointly = places_of(), places_of()
    some = [delivery_of(size) for size in sizes]
    others = [delivery_of(size) for size in sizes]
    place = Place.NEW
    for choice in choices:
        moves = sorted(MOVES[place], key=lambda place: place.index)
        if not moves:
            break
        place = moves[choice % len(moves)]
        for delivery in some:
            singly.move(delivery, place)
        jointly.move_all(others, place)
        assert counted(singly) == counted(jointly)
