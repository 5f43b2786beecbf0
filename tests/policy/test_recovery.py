"""What follows an ending: the verdict, the round and the outage together."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tenacity import stop_after_attempt, wait_fixed

from resilient_ws.errors import ConnectionLost, Fatal, GaveUp, HandshakeRejected
from resilient_ws.policy.failures import Ending, Verdict
from resilient_ws.policy.reconnect import Reconnect, member_gap
from resilient_ws.policy.recovery import Recovery, Surrender
from resilient_ws.policy.retry_delay import RetryDelay
from resilient_ws.protocol.close import Close
from resilient_ws.state import State


LOST = ConnectionLost("The connection was reset.", how="reset")


def failed(because: Exception = LOST) -> Ending:
    return Ending(because=because, state=State.CONNECTING)


def dropped(because: Exception = LOST) -> Ending:
    return Ending(because=because, state=State.OPEN, uptime=1.0)


def rejected(status: int, **headers: str) -> Ending:
    return failed(HandshakeRejected("No.", status=status, headers=headers))


def closed(code: int) -> Ending:
    record = Close(code=code, reason="", initiator="peer", clean=True)
    return dropped(ConnectionLost("Closed.", how="close", close=record))


def recovery(*, members: int = 1, **policy: Any) -> Recovery:
    policy = {"wait": wait_fixed(2), **policy}
    return Recovery(Reconnect(**policy), members=members, now=0.0)


def after(
    asked: Recovery, ending: Ending, *, now: float = 0.0
) -> RetryDelay | Surrender:
    judgement = asked.judge(ending, now=now, now_wall=0.0)
    return asked.after(judgement, now=now)


def stable(asked: Recovery) -> Recovery:
    asked.note_open()
    asked.note_stable()
    return asked


def test_a_failed_attempt_waits_as_the_policy_says_and_is_counted() -> None:
    asked = recovery()
    assert after(asked, failed()) == RetryDelay(2, "wait")
    assert (asked.attempt, asked.because) == (2, LOST)


def test_what_the_server_asks_for_is_added() -> None:
    asked = recovery()
    ending = rejected(503, **{"retry-after": "30"})
    assert after(asked, ending) == RetryDelay(32, "retry_after")
    assert after(asked, closed(1012)) == RetryDelay(7, "floor")


def test_the_loss_of_a_stable_connection_is_no_failed_attempt() -> None:
    asked = stable(recovery(stop=stop_after_attempt(1)))
    assert after(asked, dropped()) == RetryDelay(2, "wait")
    assert asked.attempt == 1
    follows = after(asked, failed())
    assert isinstance(follows, Surrender)
    assert isinstance(follows.failure, GaveUp)


def test_a_connection_that_was_not_stable_counts_as_a_failed_attempt() -> None:
    asked = recovery()
    asked.note_open()
    after(asked, dropped())
    assert asked.attempt == 2


def test_a_stable_connection_ends_the_outage() -> None:
    asked = recovery()
    for _ in range(3):
        after(asked, rejected(401) if asked.attempt == 3 else failed())
    assert (asked.attempt, asked.fresh) == (4, True)
    stable(asked)
    assert (asked.attempt, asked.fresh, asked.because) == (1, False, None)


def test_a_replacement_begins_an_outage_without_a_failed_attempt() -> None:
    asked = stable(recovery(max_outage=10))
    asked.note_replaced(LOST, now=100.0)
    assert (asked.attempt, asked.because) == (1, LOST)
    assert isinstance(after(asked, failed(), now=109.0), Surrender)


def test_a_failure_moves_on_to_the_next_member_and_the_round_waits_once() -> None:
    asked = recovery(members=2, rng=random.Random(1))
    gap = member_gap(random.Random(1))
    assert after(asked, rejected(503, **{"retry-after": "9"})) == RetryDelay(
        gap, "failover"
    )
    assert asked.member == 1
    assert after(asked, failed()) == RetryDelay(11, "retry_after")
    assert asked.member == 0


def test_the_session_ends_with_its_last_member() -> None:
    asked = recovery(members=2)
    assert isinstance(after(asked, rejected(404)), RetryDelay)
    last = rejected(410)
    assert after(asked, last) == Surrender(last.because)


def test_a_member_that_rests_is_passed_over() -> None:
    asked = recovery(members=2)
    asked.note_open()
    after(asked, rejected(404))
    assert asked.member == 1
    assert after(asked, failed()) == RetryDelay(2, "wait")
    assert asked.member == 1


@pytest.mark.parametrize("was_stable", [False, True])
def test_fatal_ends_the_session_at_once(was_stable: bool) -> None:
    asked = recovery(members=2)
    if was_stable:
        stable(asked)
    enough = Fatal("enough")
    assert after(asked, failed(enough)) == Surrender(enough)


def test_a_complaint_about_classify_is_part_of_the_judgement() -> None:
    bug = ZeroDivisionError()

    def classify(_: Ending) -> Verdict:
        raise bug

    asked = recovery(classify=classify)
    assert asked.judge(failed(), now=0.0, now_wall=0.0).complaint is bug


def test_an_error_that_was_raised_again_keeps_no_frames() -> None:
    error = ConnectionLost("Again.", how="eof")

    def wait(_: object) -> float:
        try:
            raise error
        except ConnectionLost:
            return 1.0

    assert after(recovery(wait=wait), failed(error)) == RetryDelay(1, "wait")
    assert error.__traceback__ is None


# --- exactly one connection ----------------------------------------------------------


def test_once_dials_each_member_once() -> None:
    asked = Recovery(Reconnect.once(), members=2, now=0.0)
    assert isinstance(after(asked, failed()), RetryDelay)
    assert after(asked, failed()) == Surrender(LOST)


@pytest.mark.parametrize("code", [1000, 1001, 1005])
def test_once_ends_normally_with_a_goodbye(code: int) -> None:
    asked = Recovery(Reconnect.once(), members=2, now=0.0)
    asked.note_open()
    assert after(asked, closed(code)) == Surrender(None)


def test_once_ends_with_the_loss_of_its_connection() -> None:
    asked = Recovery(Reconnect.once(), members=2, now=0.0)
    asked.note_open()
    assert after(asked, dropped()) == Surrender(LOST)
