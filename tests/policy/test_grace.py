"""A deadline is put off for delays of our own, within bounds."""

from __future__ import annotations

import math

from resilient_ws.policy.grace import Grace


def test_without_a_delay_the_natural_deadline_holds() -> None:
    assert Grace(10).deadline(100) == 100
    assert Grace(10).deadline(math.inf) == math.inf


def test_an_overdue_deadline_is_put_off_from_now_on() -> None:
    # Nothing could be read until now, so the answer may still be under way.
    grace = Grace(10)
    grace.put_off(100, 130, 4)
    assert grace.deadline(100) == 134


def test_the_full_time_is_given_again() -> None:
    grace = Grace(10)
    grace.put_off(100, 100, 10)
    grace.renew(150)
    assert grace.deadline(100) == 160
    assert grace.deadline(170) == 170


def test_grace_is_bounded_and_renewed_by_a_sign_of_life() -> None:
    grace = Grace(10)
    for _ in range(5):
        grace.put_off(100, 100, 4)
    assert grace.deadline(100) == 110
    grace.put_off(200, 195, 4)
    assert grace.deadline(200) == 204
    grace.put_off(math.inf, 210, 4)
    assert grace.deadline(200) == 204
