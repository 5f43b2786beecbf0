"""When a link is pinged, and when it is given up: every rule, and the two promises."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from resilient_ws.policy.liveness import Action, Liveness, Watch


NOTHING, PING, PONG = Action.NOTHING, Action.PING, Action.PONG
SETTLE, DEAD_PING, DEAD_IDLE = Action.SETTLE, Action.DEAD_PING, Action.DEAD_IDLE


def watching(**policy: Any) -> Watch:
    """A watch over a connection that opened at 0."""
    watch = Watch(Liveness(**policy))
    watch.opened(0.0)
    return watch


async def answered() -> str:
    return "ping"


# --- the policy ----------------------------------------------------------------------


def test_the_defaults_are_those_of_the_design() -> None:
    assert attrs.astuple(Liveness()) == (20.0, 20.0, None, None, None)
    assert Liveness(ping_interval=None, ping_timeout=None).ping_interval is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ping_interval": 0}, ValueError, "Liveness.ping_interval must be a positive"),
        ({"ping_timeout": -1}, ValueError, "Liveness.ping_timeout must be a positive"),
        ({"idle_timeout": "1"}, TypeError, "Liveness.idle_timeout must be a positive"),
        (
            {"probe": 1},
            TypeError,
            "Liveness.probe must be str, bytes, a callable that returns one, or None",
        ),
        ({"probe": answered}, TypeError, "Liveness.probe must be a plain function"),
        (
            {"probe": "x", "ping_interval": None},
            ValueError,
            "Liveness.probe needs a ping_interval",
        ),
        (
            {"probe": "\ud83d"},
            ValueError,
            "Liveness.probe must not contain lone surrogates",
        ),
        ({"is_answer": len}, ValueError, "Liveness.is_answer needs a probe"),
        (
            {"is_answer": 1, "probe": "x"},
            TypeError,
            "Liveness.is_answer must be a callable",
        ),
    ],
)
def test_a_policy_checks_itself(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Liveness(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("probe", ["s3cret", b"s3cret", lambda: "s3cret"])
def test_a_probe_may_hold_a_token_and_is_not_shown(probe: Any) -> None:
    liveness = Liveness(probe=probe)
    assert "s3cret" not in repr(liveness)
    assert "lambda" not in repr(liveness)
    assert "probe=***" in repr(liveness)
    assert "probe=None" in repr(Liveness())
    assert liveness.probe is probe


# --- silence -------------------------------------------------------------------------


def test_silence_is_pinged_and_then_given_up() -> None:
    watch = watching()
    assert watch.due() == 20
    assert watch.check(19.9) is NOTHING
    assert watch.check(20) is PING
    assert watch.due() == 40
    assert watch.check(39.9) is NOTHING
    assert watch.check(40) is SETTLE
    assert watch.check(40) is SETTLE
    assert watch.confirm(40) is DEAD_PING


def test_any_byte_is_a_sign_of_life() -> None:
    watch = watching()
    watch.heard_at = 15.0
    assert watch.check(20) is PING
    # Had nothing come at 15, it would be dead at 40.
    assert watch.due() == 40
    assert watch.check(40) is PING
    assert watch.due() == 55
    watch.heard_at = 50.0
    assert watch.check(55) is NOTHING
    assert watch.due() == 60


def test_a_ping_goes_out_on_schedule_whatever_flows() -> None:
    watch, sent = watching(), list[float]()
    for t in range(1, 101):
        watch.heard_at = watch.message_at = float(t)
        if watch.check(t) is PING:
            sent.append(t)
    assert sent == [20, 40, 60, 80, 100]


def test_the_last_byte_before_a_ping_has_its_whole_time() -> None:
    watch = watching()
    watch.heard_at = 19.9
    assert watch.check(20) is PING
    assert watch.check(40) is PING
    assert watch.due() == pytest.approx(59.9)
    assert watch.check(59.8) is NOTHING
    assert watch.check(59.9) is SETTLE
    assert watch.confirm(59.9) is DEAD_PING


def test_a_byte_read_while_settling_saves_the_link() -> None:
    watch = watching()
    watch.check(20)
    assert watch.check(40) is SETTLE
    watch.heard_at = 40.0
    assert watch.confirm(40) is NOTHING
    assert watch.check(40) is PING
    assert watch.due() == 60


def test_an_answer_in_the_same_tick_counts() -> None:
    watch = watching()
    watch.heard_at = 20.0
    watch.suspect(20.0)
    assert watch.check(20) is PING
    watch.heard_at = 20.0
    assert watch.check(40) is PING
    assert watch.due() > 40


def test_a_ping_goes_out_again_while_a_long_timeout_runs() -> None:
    watch = watching(ping_interval=10, ping_timeout=25)
    assert [watch.check(t) for t in (10, 20, 30)] == [PING] * 3
    assert watch.due() == 35
    assert watch.check(35) is SETTLE


def test_without_a_timeout_pings_go_out_and_nothing_is_expected() -> None:
    watch = watching(ping_timeout=None)
    assert [watch.check(20.0 * n) for n in range(1, 50)] == [PING] * 49
    assert watch.max_lag == 0.1


def test_without_an_interval_nothing_is_asked() -> None:
    watch = watching(ping_interval=None)
    assert watch.due() == math.inf
    assert watch.check(1e6) is NOTHING
    assert watch.check(1e6, reading_paused=True) is NOTHING
    watch.suspect(1e6)
    assert watch.check(1e6, late_by=5) is NOTHING


# --- messages ------------------------------------------------------------------------


def test_idle_counts_messages_only() -> None:
    watch = watching(idle_timeout=30)
    assert watch.check(20) is PING
    watch.heard_at = 29.0
    assert watch.due() == 30
    assert watch.check(30) is SETTLE
    assert watch.confirm(30) is DEAD_IDLE


def test_a_message_puts_idle_off() -> None:
    watch = watching(idle_timeout=30, ping_interval=None)
    watch.message_at = 29.0
    assert watch.check(30) is NOTHING
    assert watch.due() == 59


def test_a_dead_link_is_called_dead_rather_than_idle() -> None:
    watch = watching(idle_timeout=40)
    watch.check(20)
    assert watch.check(40) is SETTLE
    assert watch.confirm(40) is DEAD_PING


# --- (a) the loop was late -----------------------------------------------------------


@pytest.mark.parametrize(("timeout", "lag"), [(20, 0.1), (1, 0.1), (0.5, 0.05)])
def test_what_counts_as_late_depends_on_the_timeout(timeout: float, lag: float) -> None:
    assert watching(ping_timeout=timeout).max_lag == pytest.approx(lag)


def test_a_little_lateness_changes_nothing() -> None:
    watch = watching()
    watch.check(20)
    assert watch.check(40.1, late_by=0.1) is SETTLE


def test_a_late_verdict_is_put_off_by_the_lag() -> None:
    watch = watching()
    watch.check(20)
    assert watch.check(45, late_by=5) is PING  # silence goes on being asked about
    assert watch.due() == 50
    assert watch.check(50) is SETTLE


def test_a_late_look_before_the_deadline_moves_it_by_the_lag() -> None:
    watch = watching(idle_timeout=100)
    watch.check(20, outgoing=10)
    watch.check(30, late_by=4)
    watch.heard_at = 30.0
    watch.check(90, late_by=3)
    watch.heard_at = 90.0
    assert watch.check(106.9) is NOTHING
    assert watch.check(107) is SETTLE
    assert watch.confirm(107) is DEAD_IDLE


def test_a_loop_that_is_always_late_cannot_hide_a_dead_link() -> None:
    watch = watching()
    watch.check(20)
    now = 40.0
    while watch.check(now + 3, late_by=3) is not SETTLE:
        now = watch.due()
        assert now < 100
    assert watch.confirm(now + 3) is DEAD_PING


# --- (b) our own inbox is full -------------------------------------------------------


def test_no_verdict_while_reading_is_paused_but_a_pong_now_and_then() -> None:
    watch = watching(idle_timeout=5)
    assert watch.check(5, reading_paused=True) is NOTHING
    assert watch.due() == 20
    assert [watch.check(t, reading_paused=True) for t in (20, 30, 40)] == [
        PONG, NOTHING, PONG,
    ]  # fmt: skip
    assert watch.due() == 60


def test_after_the_pause_both_verdicts_have_their_full_time() -> None:
    watch = watching(idle_timeout=30)
    watch.check(20)
    watch.check(21, reading_paused=True)
    watch.resumed(1000.0)
    # The last ping is old by now, so a new one is due at once.
    assert watch.check(1000) is PING
    assert watch.check(1019.9) is NOTHING
    assert watch.check(1020) is SETTLE
    assert watch.confirm(1020) is DEAD_PING
    watch.heard_at = 1020.0
    assert watch.confirm(1029.9) is NOTHING
    assert watch.confirm(1030) is DEAD_IDLE


def test_a_probe_is_sent_in_place_of_the_unsolicited_pong() -> None:
    watch = watching(probe="ping")
    assert watch.check(20, reading_paused=True) is PING
    assert watch.check(40, reading_paused=True) is PING
    watch.resumed(50.0)
    assert watch.check(60) is PING


# --- (c) the machine slept -----------------------------------------------------------


def test_after_a_sleep_a_ping_goes_out_at_once_with_time_to_answer() -> None:
    watch = watching(idle_timeout=30)
    watch.check(20)
    watch.suspect(500.0)
    assert watch.due() == 500
    assert watch.check(500) is PING
    assert watch.due() == 520
    assert watch.check(519.9) is NOTHING
    assert watch.check(520) is SETTLE
    assert watch.confirm(520) is DEAD_PING


def test_a_sleep_while_paused_waits_for_the_end_of_the_pause() -> None:
    watch = watching()
    assert watch.check(10, reading_paused=True) is NOTHING
    watch.suspect(11.0)
    assert watch.due() == 20
    watch.resumed(12.0)
    assert watch.due() == 11
    assert watch.check(12) is PING


# --- (d) our own bytes are still leaving ---------------------------------------------


def test_the_clock_of_the_pong_starts_when_the_ping_has_left() -> None:
    watch = watching()
    assert watch.check(20, outgoing=1000, written=5000) is PING
    assert watch.due() == 21  # a look at the backlog
    for t in range(21, 30):
        assert watch.check(t, outgoing=1000 - 100 * (t - 20), written=5000) is NOTHING
    # It stood behind 5000 bytes; later ones do not hold it back.
    assert watch.check(30, outgoing=400, written=5400) is NOTHING
    assert watch.check(31, outgoing=400, written=5400) is NOTHING
    assert watch.check(49.9, outgoing=400, written=5400) is PING
    assert watch.check(50, outgoing=400, written=5400) is SETTLE


def test_a_backlog_filled_as_fast_as_it_drains_holds_only_the_ping_behind_it() -> None:
    watch = watching()
    assert watch.check(20, outgoing=1000, written=20_000) is PING
    assert watch.check(21, outgoing=1000, written=21_000) is NOTHING
    # The ping has left by now. That more leaves behind it proves nothing: the kernel
    # of a frozen peer goes on acknowledging.
    for t in range(22, 41):
        action = watch.check(t, outgoing=1000, written=1000 * t)
        assert action in (NOTHING, PING)
    assert watch.check(41, outgoing=1000, written=41_000) is SETTLE


def test_a_shrinking_backlog_is_a_sign_of_life_without_a_total_too() -> None:
    watch = watching()
    watch.check(20, outgoing=10_000)
    for t in range(21, 120):
        assert watch.check(t, outgoing=10_000 - t) in (NOTHING, PING)


def test_a_black_hole_with_a_full_buffer_is_noticed_in_time() -> None:
    watch = watching()
    assert watch.check(20, outgoing=1000, written=1000) is PING
    assert watch.check(39.9, outgoing=1000, written=1000) is NOTHING
    assert watch.check(40, outgoing=1000, written=1000) is SETTLE


def test_small_messages_that_vanish_in_the_kernel_prove_nothing() -> None:
    watch = watching()
    actions = [watch.check(t, outgoing=0, written=100 * t) for t in range(41)]
    assert actions[20] is PING
    assert actions[40] is SETTLE


# --- probes --------------------------------------------------------------------------


def test_the_verdict_on_a_probe_is_that_on_a_ping() -> None:
    watch = watching(probe="ping", ping_interval=10, ping_timeout=25)
    assert [watch.check(t) for t in (10, 20, 30)] == [PING] * 3
    assert watch.check(35) is SETTLE


# --- the two promises, for any course of events --------------------------------------


def run(watch: Watch, hears: list[float], answer: float | None, until: float) -> float:
    """Drive a watch by its own due times; return when it died, or infinity.

    ``hears`` are times of bytes; every ping is answered ``answer`` seconds later.
    """
    pending = sorted(hears)
    while (now := watch.due()) <= until:
        while pending and pending[0] <= now:
            watch.heard_at = max(watch.heard_at, pending.pop(0))
        action = watch.check(now)
        if action is PING and answer is not None:
            pending = sorted([*pending, now + answer])
        if action is SETTLE:
            assert watch.confirm(now) is DEAD_PING
            return now
    return math.inf


spans = st.floats(0.5, 60)


@settings(deadline=None)
@given(spans, spans, st.lists(st.floats(0, 300), max_size=20), st.booleans())
def test_a_dead_link_is_noticed_in_time(
    interval: float, timeout: float, hears: list[float], probe: bool
) -> None:
    watch = watching(
        ping_interval=interval, ping_timeout=timeout, probe="p" if probe else None
    )
    died = run(watch, hears, None, 1000)
    heard = [t for t in (0.0, *hears) if t <= died]
    # In time, and no sooner.
    assert died == pytest.approx(max(heard) + interval + timeout)


@settings(deadline=None)
@given(spans, spans, st.lists(st.floats(0, 300), max_size=20), st.data())
def test_a_link_that_answers_in_time_is_never_given_up(
    interval: float, timeout: float, hears: list[float], data: st.DataObject
) -> None:
    answer = data.draw(st.floats(0, timeout * 0.99))
    probe = data.draw(st.sampled_from([None, "p"]))
    watch = watching(ping_interval=interval, ping_timeout=timeout, probe=probe)
    assert run(watch, hears, answer, 500) == math.inf
