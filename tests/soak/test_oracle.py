"""The oracle of the soak sees what it is there to see, and nothing else."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import DeliveryState, Interruption
from resilient_ws.testing import Freeze, Reset
from tests.soak.client import Life
from tests.soak.conductor import Done
from tests.soak.ledger import Ledger
from tests.soak.logbook import Logbook
from tests.soak.run import script_of
from tests.soak.script import PING_INTERVAL, PING_TIMEOUT, Act
from tests.soak.verdict import judge


if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.ledger import Mode

HOLE = Interruption(cause=None, since=1.0, until=2.0, epoch=2, drops=1)


def delivery(state: DeliveryState, *, maybe: bool = False) -> Any:
    return SimpleNamespace(state=state, maybe_delivered=maybe)


def ledger_of(mode: Mode, *states: DeliveryState, maybe: bool = False) -> Ledger:
    """A ledger with a message for each of these deliveries."""
    ledger = Ledger(mode)
    for state in states:
        ledger.accepted(ledger.next_number(), delivery(state, maybe=maybe))
    return ledger


WRITTEN, CONFIRMED, DROPPED, FAILED, QUEUED = (
    DeliveryState.WRITTEN,
    DeliveryState.CONFIRMED,
    DeliveryState.DROPPED,
    DeliveryState.FAILED,
    DeliveryState.QUEUED,
)


def test_an_honest_session_has_no_violation() -> None:
    ledger = ledger_of("write", WRITTEN, WRITTEN, DROPPED, WRITTEN)
    ledger.refused(ledger.next_number())
    ledger.accepted(ledger.next_number(), delivery(WRITTEN))
    for number in (0, 3, 5):
        ledger.arrived("a" if number == 0 else "b", number)
    ledger.received("0 ")
    ledger.received(HOLE)
    ledger.received("3 --")
    ledger.received("5 --")
    counts = ledger.balance(unconfirmed=1, epochs=2)
    assert ledger.violations == []
    assert (counts.sent, counts.arrived, counts.echoed) == (6, 3, 3)
    assert (counts.missing, counts.told_lost, counts.refused) == (1, 1, 1)


def arrives_twice(ledger: Ledger) -> None:
    ledger.arrived("a", 0)
    ledger.arrived("b", 0)


def comes_back_twice(ledger: Ledger) -> None:
    ledger.arrived("a", 0)
    ledger.received("0 ")
    ledger.received(HOLE)
    ledger.received("0 ")


def arrives_out_of_order(ledger: Ledger) -> None:
    ledger.arrived("a", 1)
    ledger.arrived("a", 0)


def is_missing_in_the_middle(ledger: Ledger) -> None:
    ledger.arrived("a", 0)
    ledger.arrived("a", 2)


def comes_back_with_one_missing(ledger: Ledger) -> None:
    for number in (0, 1, 2):
        ledger.arrived("a", number)
    ledger.received("0 ")
    ledger.received("2 ")


def was_never_sent(ledger: Ledger) -> None:
    ledger.arrived("a", 17)


def comes_out_of_nothing(ledger: Ledger) -> None:
    ledger.received("0 ")


def is_discarded(ledger: Ledger) -> None:
    ledger.received(
        Interruption(cause=None, since=1.0, until=2.0, epoch=1, discarded=3)
    )


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (arrives_twice, "0 arrived twice"),
        (comes_back_twice, "0 came back twice"),
        (arrives_out_of_order, "0 arrived after 1"),
        (is_missing_in_the_middle, "1 skipped when 2 arrived"),
        (comes_back_with_one_missing, "1 skipped when 2 came back"),
        (was_never_sent, "17 arrived and was never sent"),
        (comes_out_of_nothing, "0 came back and never arrived"),
        (is_discarded, "3 discarded"),
        (lambda _: None, "3 missing, 0 of them reported"),
    ],
)
def test_what_is_wrong_is_a_violation(
    story: Callable[[Ledger], None], words: str
) -> None:
    ledger = ledger_of("write", WRITTEN, WRITTEN, WRITTEN)
    story(ledger)
    ledger.balance(unconfirmed=0, epochs=1)
    assert any(words in what for what in ledger.violations), ledger.violations


def test_a_message_reported_unsent_must_not_arrive() -> None:
    for mode, state in (("write", DROPPED), ("pong", DeliveryState.EXPIRED)):
        ledger = ledger_of(mode, state)  # type: ignore[arg-type]
        ledger.arrived("a", 0)
        ledger.balance(unconfirmed=0, epochs=1)
        assert "although" in ledger.violations[0]


def test_one_that_was_perhaps_delivered_may_arrive() -> None:
    ledger = ledger_of("pong", FAILED, FAILED, maybe=True)
    ledger.arrived("a", 0)
    counts = ledger.balance(unconfirmed=0, epochs=1)
    assert ledger.violations == []
    assert (counts.told_maybe, counts.arrived) == (2, 1)


def test_a_delivery_without_an_end_is_a_violation() -> None:
    ledger = ledger_of("pong", CONFIRMED, WRITTEN)
    ledger.arrived("a", 0)
    ledger.balance(unconfirmed=0, epochs=1)
    assert ledger.violations == ["1 is written for ever"]


def test_at_least_once_may_repeat_in_order_and_skip_nothing() -> None:
    ledger = ledger_of("resend", CONFIRMED, CONFIRMED, CONFIRMED)
    for connection, number in (("a", 0), ("a", 1), ("b", 1), ("b", 2)):
        ledger.arrived(connection, number)
    for item in ("0 ", HOLE, "1 ", "2 "):
        ledger.received(item)
    counts = ledger.balance(unconfirmed=0, epochs=2)
    assert ledger.violations == []
    assert (counts.repeated, counts.doubled, counts.arrived) == (1, 0, 3)


def test_interruptions_must_add_up() -> None:
    ledger = ledger_of("write", WRITTEN)
    ledger.arrived("a", 0)
    ledger.balance(unconfirmed=0, epochs=3)
    assert ledger.violations == ["0 interruptions of 3 connections"]


def test_a_log_is_read_over_all_lives_of_its_server() -> None:
    ledgers = {1: ledger_of("write", WRITTEN, WRITTEN), 2: ledger_of("write", WRITTEN)}
    log = [
        {"event": "ready"},
        {"event": "open", "connection": 1, "path": "/echo?session=1"},
        {"event": "open", "connection": 2, "path": "/echo?session=2"},
        {"event": "message", "connection": 2, "text": "0 --"},
        {"event": "message", "connection": 1, "text": "0 --"},
        {"event": "ready"},
        {"event": "open", "connection": 1, "path": "/echo?session=1"},
        {"event": "message", "connection": 1, "text": "1 --"},
    ]
    server: Any = SimpleNamespace(log=log)
    Logbook(server, ledgers).read()
    assert log == []
    for ledger, arrived in zip(ledgers.values(), (2, 1), strict=True):
        assert ledger.balance(unconfirmed=0, epochs=1).arrived == arrived
        assert ledger.violations == []


def client_with(*lives: Life) -> Any:
    ledger = ledger_of("write", WRITTEN)
    ledger.arrived("a", 0)
    ledger.received("0 ")
    for _ in lives[1:]:
        ledger.received(HOLE)
    return SimpleNamespace(
        number=1, server="node", name="it", ledger=ledger, lives=list(lives),
        unconfirmed=0, attempts_failed=0, lags=0,
    )  # fmt: skip


def done(began: float, ended: float, *, lethal: bool = True, where: str = "") -> Done:
    act = Act(
        at=began,
        lasts=ended - began,
        where=where or "session 1",
        lethal=lethal,
        faults=(Freeze(),) if ended > began else (Reset(),),
    )
    return Done(act, began, ended)


def test_a_drop_is_explained_by_a_lethal_fault_that_its_connection_met() -> None:
    client = client_with(Life(0.0, 0.1, 10.0, "silence"), Life(10.1, 15.0))
    verdict = judge([client], [done(5.0, 14.0)])
    assert verdict.violations == []
    assert (verdict.outages, verdict.false_alarms) == (1, 0)
    assert verdict.noticed.longest == 5.0
    assert verdict.recovered.longest == 1.0


@pytest.mark.parametrize(
    "fault",
    [
        done(5.0, 6.0, lethal=False),
        done(5.0, 5.0, where="session 2"),
        done(5.0, 5.0, where="server aiohttp"),
        done(11.0, 11.0),
    ],
    ids=["mild", "another session's", "another server's", "later"],
)
def test_a_drop_that_no_fault_explains_is_a_false_alarm(fault: Done) -> None:
    client = client_with(Life(0.0, 0.1, 10.0, "reset"), Life(10.1, 10.5))
    verdict = judge([client], [fault])
    assert verdict.false_alarms == 1
    assert "a false alarm" in verdict.violations[0]


@pytest.mark.parametrize("dropped", [30.0, None], ids=["late", "never"])
def test_a_silence_that_is_not_noticed_in_time_is_a_violation(
    dropped: float | None,
) -> None:
    lives = [Life(0.0, 0.1, dropped, "silence")]
    if dropped is not None:
        lives.append(Life(30.1, 30.5))
    violations = judge([client_with(*lives)], [done(5.0, 29.0)]).violations
    assert "deaf" in violations[0]


def test_a_run_in_which_nothing_happened_proves_nothing() -> None:
    (violation,) = judge([client_with(Life(0.0, 0.1))], []).violations
    assert "proves nothing" in violation


def test_the_seed_alone_draws_the_script() -> None:
    assert script_of(7, 2.0) == script_of(7, 2.0)
    assert script_of(7, 2.0) != script_of(8, 2.0)


def test_acts_of_a_place_leave_pauses_and_mild_ones_are_mild() -> None:
    script = script_of(1, 60.0)
    for place in {act.where for act in script}:
        acts = [act for act in script if act.where == place]
        for before, after in itertools.pairwise(acts):
            assert before.at + before.lasts + 3.0 <= after.at
    for act in script:
        if "Freeze" in act.name or act.deed == "SIGSTOP":
            dead = PING_INTERVAL + PING_TIMEOUT
            assert act.lasts > dead + 2.0 if act.lethal else act.lasts < dead / 2
    assert {act.lethal for act in script} == {True, False}
