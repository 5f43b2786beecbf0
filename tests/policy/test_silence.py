"""When a session has fallen silent because nobody subscribed again."""

from __future__ import annotations

import math

import pytest

from resilient_ws.policy.silence import GREETED_FOR, QUIET_AFTER, Silence


def began(silence: Silence) -> float:
    """Open a connection behind one that was sent and brought something."""
    return silence.begin(sent=1, received=3)


@pytest.mark.parametrize("greetings", [0, 1, 7])
def test_a_greeting_breaks_no_silence(greetings: int) -> None:
    silence = Silence(restores=False)
    assert began(silence) == GREETED_FOR
    left = silence.check(sent=0, received=greetings, paused=False)
    assert GREETED_FOR + left == QUIET_AFTER
    assert silence.check(sent=0, received=greetings, paused=False) == 0.0
    # Once in a session.
    assert silence.check(sent=0, received=greetings, paused=False) == math.inf
    assert began(silence) == math.inf


def test_news_breaks_it() -> None:
    silence = Silence(restores=False)
    began(silence)
    silence.check(sent=0, received=1, paused=False)
    assert silence.check(sent=0, received=2, paused=False) == math.inf
    silence.end(received=2, uptime=500.0)
    assert began(silence) == GREETED_FOR
    assert silence.check(sent=0, received=0, paused=False) == QUIET_AFTER - GREETED_FOR


def test_connections_that_end_early_hand_their_silence_on() -> None:
    silence = Silence(restores=False)
    for _ in range(2):
        assert began(silence) == GREETED_FOR
        silence.check(sent=0, received=0, paused=False)
        silence.end(received=0, uptime=20.0)
    # Too short a life for anything to be news.
    began(silence)
    silence.end(received=1, uptime=3.0)
    assert began(silence) == GREETED_FOR
    left = silence.check(sent=0, received=0, paused=False)
    assert left == QUIET_AFTER - 43.0 - GREETED_FOR
    assert silence.check(sent=0, received=0, paused=False) == 0.0


def test_a_quiet_night_before_the_first_loss_does_not_count() -> None:
    silence = Silence(restores=False)
    assert silence.begin(sent=0, received=0) == math.inf
    silence.end(received=3, uptime=36_000.0)
    assert began(silence) == GREETED_FOR
    assert silence.check(sent=0, received=0, paused=False) == QUIET_AFTER - GREETED_FOR


@pytest.mark.parametrize(
    ("restores", "sent", "received"), [(True, 1, 1), (False, 0, 1), (False, 1, 0)]
)
def test_whom_it_does_not_concern(restores: bool, sent: int, received: int) -> None:
    silence = Silence(restores=restores)
    assert silence.begin(sent=sent, received=received) == math.inf
    silence.end(received=0, uptime=100.0)
    assert silence.begin(sent=sent, received=received) == math.inf


def test_a_full_inbox_is_no_silence() -> None:
    silence = Silence(restores=False)
    began(silence)
    assert silence.check(sent=0, received=0, paused=True) == math.inf


def test_lives_of_a_moment_add_up() -> None:
    silence = Silence(restores=False)
    for _ in range(29):
        assert began(silence) > 0.0
        silence.end(received=0, uptime=2.0)
    assert began(silence) == 2.0
    assert silence.check(sent=0, received=0, paused=False) == 0.0


def test_who_goes_on_sending_has_not_forgotten() -> None:
    silence = Silence(restores=False)
    began(silence)
    silence.check(sent=0, received=0, paused=False)
    assert silence.check(sent=1, received=0, paused=False) == math.inf
