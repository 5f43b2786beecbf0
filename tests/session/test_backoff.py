"""When a session dials again, where, and when it gives up."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from tenacity import stop_after_attempt, wait_fixed, wait_none

import resilient_ws
from resilient_ws import (
    FATAL,
    RETRY,
    RETRY_FRESH,
    Fatal,
    GaveUp,
    Reconnect,
    State,
    Timeouts,
)
from resilient_ws.policy.reconnect import MIN_DIAL_SPACING
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import (
    closing,
    feeding,
    hang,
    hold,
    rejecting,
    resetting,
)
from tests.record import now, of, recorded, until


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Attempt, Ending, Session, Verdict
    from resilient_ws.testing import Peer


def gaps(server: ScriptedServer) -> list[float]:
    """The seconds between one dial and the next."""
    return [round(b - a, 3) for a, b in itertools.pairwise(server.dials)]


def offline(server: ScriptedServer, **policy: Any) -> Session:
    return resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(**policy)
    )


async def test_attempts_count_anew_only_after_a_stable_connection(
    server: ScriptedServer,
) -> None:
    lives = (1.0, 9.0, 11.0, 1.0)
    server.play(*(closing(1001, after=life) for life in lives), hold)
    policy = {"wait": tenacity.wait_incrementing(start=100, increment=100)}
    session = offline(server, **policy)
    events = recorded(session)
    async with session:
        await until(lambda: session.epoch == 5, within=10_000)
        await asyncio.sleep(11)
    scheduled = of(events, resilient_ws.RetryScheduled)
    # After the stable third one the outage is new, and no attempt of it has failed.
    assert [e.delay for e in scheduled] == [100, 200, 100, 100]
    assert [e.attempt for e in scheduled] == [2, 3, 1, 2]
    assert [e.epoch for e in of(events, resilient_ws.ConnectionStable)] == [3, 5]
    dropped = of(events, resilient_ws.ConnectionDropped)
    assert [e.uptime for e in dropped] == pytest.approx(lives)
    assert all(e.clean for e in dropped)
    opened = of(events, resilient_ws.ConnectionOpened)
    assert opened[0].resumed_after is None
    assert [e.resumed_after for e in opened[1:]] == pytest.approx(
        [e.delay for e in scheduled]
    )


async def test_retry_after_in_seconds_is_added_to_the_wait(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503, retry_after=7), hold)
    session = offline(server, wait=wait_fixed(2))
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
    assert gaps(server) == [9]
    (scheduled,) = of(events, resilient_ws.RetryScheduled)
    assert (scheduled.delay, scheduled.source) == (9, "retry_after")


async def test_retry_after_as_a_date_is_read_against_the_servers_own_clock(
    server: ScriptedServer,
) -> None:
    there = datetime(2001, 2, 3, tzinfo=UTC)
    headers = {
        "Date": format_datetime(there, usegmt=True),
        "Retry-After": format_datetime(there + timedelta(seconds=30), usegmt=True),
    }
    server.play(rejecting(429, headers=headers), hold)
    async with offline(server, wait=wait_fixed(2)) as session:
        await session.wait_until(State.OPEN)
    assert gaps(server) == [32]


async def test_retry_after_is_capped(server: ScriptedServer) -> None:
    server.play(rejecting(503, retry_after=86400), hold)
    async with offline(server, wait=wait_fixed(2), retry_after_cap=60) as session:
        await session.wait_until(State.OPEN)
    assert gaps(server) == [62]


@pytest.mark.parametrize("code", [1012, 1013])
async def test_a_server_that_says_later_is_given_more_time(
    server: ScriptedServer, code: int
) -> None:
    server.play(closing(code), hold)
    async with offline(server, wait=wait_fixed(2)) as session:
        await until(lambda: session.epoch == 2)
    (gap,) = gaps(server)
    assert gap > 6


async def test_a_refused_token_is_asked_for_again_once_and_fresh(
    server: ScriptedServer,
) -> None:
    asked: list[tuple[str, int, bool]] = []

    async def url(attempt: Attempt) -> str:
        asked.append(("url", attempt.number, attempt.fresh))
        await asyncio.sleep(0)
        return f"{server.url()}/?fresh={attempt.fresh}"

    def headers(attempt: Attempt) -> dict[str, str]:
        asked.append(("headers", attempt.number, attempt.fresh))
        return {"Authorization": "new" if attempt.fresh else "cached"}

    server.play(rejecting(401), hold)
    async with resilient_ws.connect(url, headers=headers) as session:
        assert session.state is State.OPEN
        assert "a URL per attempt" in repr(session)
    assert asked == [
        ("url", 1, False),
        ("headers", 1, False),
        ("url", 2, True),
        ("headers", 2, True),
    ]
    assert [path for _, path in server.requests] == ["/?fresh=False", "/?fresh=True"]
    assert [p.headers["authorization"] for p in server.peers] == ["cached", "new"]


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_twice_is_fatal(server: ScriptedServer, status: int) -> None:
    server.play(rejecting(status))
    with pytest.raises(resilient_ws.HandshakeRejected) as caught:
        await resilient_ws.connect(server.url()).__aenter__()
    assert caught.value.status == status
    assert len(server.dials) == 2


@pytest.mark.parametrize("code", [1008, 4401])
async def test_closed_for_policy_again_and_again_is_fatal_in_the_end(
    server: ScriptedServer, code: int
) -> None:
    server.play(closing(code))
    async with offline(server, wait=wait_fixed(30)) as session:
        with pytest.raises(resilient_ws.ConnectionLost) as caught:
            await session.wait_closed()
    assert caught.value.close is not None
    assert caught.value.close.code == code
    # The one with fresh credentials comes soon; from then on it must stand.
    assert [round(gap) for gap in gaps(server)] == [30, *(900 // 60 * [60])]


async def test_a_404_before_the_first_open_is_final(server: ScriptedServer) -> None:
    server.play(rejecting(404))
    began = now()
    with pytest.raises(resilient_ws.HandshakeRejected):
        await resilient_ws.connect(server.url(), wait_open=True).__aenter__()
    assert now() == began
    assert len(server.dials) == 1


async def test_a_404_that_stands_for_fatal_after_ends_a_session_that_was_open(
    server: ScriptedServer,
) -> None:
    server.play(closing(1001, after=20.0), rejecting(404))
    session = offline(server)
    events = recorded(session)
    async with session:
        with pytest.raises(resilient_ws.HandshakeRejected):
            await session.wait_closed()
        assert isinstance(session.failure, resilient_ws.HandshakeRejected)
    first, *later = gaps(server)
    assert 20 <= first <= 21
    # Each a jittered wait, at most 60 s, behind the longest delay.
    assert all(60 <= gap <= 121 for gap in later)
    stood = server.dials[-1] - server.dials[1]
    assert 900 <= stood <= 900 + 121
    assert len(server.dials) <= 17
    scheduled = of(events, resilient_ws.RetryScheduled)[1:]
    assert {event.source for event in scheduled} == {"floor"}


@pytest.mark.parametrize("fatal_after", [0, 100])
async def test_fatal_after_is_how_long_it_must_stand(
    server: ScriptedServer, fatal_after: float
) -> None:
    server.play(closing(1001, after=20.0), rejecting(404))
    async with offline(server, wait=wait_fixed(30), fatal_after=fatal_after) as session:
        with pytest.raises(resilient_ws.HandshakeRejected):
            await session.wait_closed()
    assert gaps(server) == ([50] if fatal_after == 0 else [50, 60, 60])


@pytest.mark.parametrize("seconds", [75, 14 * 60])
@pytest.mark.parametrize("status", [404, 401])
async def test_a_router_that_answers_wrongly_for_minutes_bricks_nobody(
    server: ScriptedServer, seconds: float, status: int
) -> None:
    server.play(closing(1001, after=20.0), rejecting(status))
    async with offline(server) as session:
        await until(lambda: session.epoch == 1)
        await until(lambda: session.state is State.BACKOFF)
        began = now()
        await asyncio.sleep(seconds)
        server.play(hold)
        await until(lambda: session.epoch == 2)
        assert now() - began <= seconds + 122
        await asyncio.sleep(20)
        assert session.state is State.OPEN


async def test_each_stable_connection_starts_the_time_anew(
    server: ScriptedServer,
) -> None:
    async with offline(server) as session:
        for epoch in range(1, 4):
            await until(lambda: session.state is State.OPEN)
            await asyncio.sleep(11)
            server.play(rejecting(404))
            await server.peers[-1].reset()
            await asyncio.sleep(800)
            assert session.epoch == epoch
            server.play(hold)
        await until(lambda: session.state is State.OPEN)


async def test_a_fatal_close_of_a_stable_connection_may_be_final_at_once(
    server: ScriptedServer,
) -> None:
    server.play(closing(1009, after=20.0))
    async with offline(server, fatal_after=0) as session:
        with pytest.raises(resilient_ws.ConnectionLost):
            await session.wait_closed()
    assert len(server.dials) == 1


async def test_a_member_that_answers_404_does_not_hold_the_others_up() -> None:
    async with (
        ScriptedServer(hold) as stale,
        ScriptedServer(hold) as good,
    ):
        session = resilient_ws.connect(
            [stale.url(), good.url()], reconnect=Reconnect(wait=wait_fixed(1))
        )
        async with session:
            await asyncio.sleep(20)
            stale.play(rejecting(404))
            good.play(rejecting(503), rejecting(503), rejecting(503), hold)
            await stale.peers[-1].reset()
            await until(lambda: session.epoch == 2, within=10)
        # The stale one rests for the longest wait, 1 s, and is asked again after it.
        assert len(stale.dials) <= 5


async def test_a_404_in_a_deployment_bricks_nobody(server: ScriptedServer) -> None:
    server.play(
        closing(1001, after=20.0), rejecting(404), rejecting(503), rejecting(404), hold
    )
    async with offline(server) as session:
        await until(lambda: session.epoch == 2)


async def test_urls_fail_over_and_the_wait_is_taken_once_per_round() -> None:
    async with (
        ScriptedServer(rejecting(503)) as first,
        ScriptedServer(rejecting(503)) as second,
        ScriptedServer(rejecting(503), hold) as third,
    ):
        session = resilient_ws.connect(
            [first.url(), second.url(), third.url()],
            wait_open=False,
            reconnect=Reconnect(wait=wait_fixed(100)),
        )
        events = recorded(session)
        async with session:
            await session.wait_until(State.OPEN)
            (opened,) = of(events, resilient_ws.ConnectionOpened)
            assert opened.endpoint.startswith(third.url())
        scheduled = of(events, resilient_ws.RetryScheduled)
        assert [e.source for e in scheduled] == [
            *2 * ["failover"],
            "wait",
            *2 * ["failover"],
        ]
        assert all(e.delay <= 0.5 for e in scheduled if e.source == "failover")
        assert [len(s.dials) for s in (first, second, third)] == [2, 2, 2]


class Lowest(random.Random):
    """Draws what is smallest."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


async def test_no_endpoint_is_dialled_twice_within_the_spacing_in_a_round(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    async with ScriptedServer(rejecting(503)) as other:
        policy = Reconnect(wait=wait_none(), rng=Lowest(), stop=stop_after_attempt(10))
        with pytest.raises(GaveUp):
            async with resilient_ws.connect(
                [server.url(), other.url()], reconnect=policy
            ):
                pass
        for dials in (server.dials, other.dials):
            gaps = [b - a for a, b in itertools.pairwise(dials)]
            assert len(gaps) == 4
            assert min(gaps) >= 0.2 - 0.02, gaps


async def test_a_fatal_member_leaves_the_round_and_the_last_one_ends_the_session() -> (
    None
):
    async with (
        ScriptedServer(rejecting(404)) as first,
        ScriptedServer(rejecting(503), rejecting(404)) as second,
    ):
        with pytest.raises(resilient_ws.HandshakeRejected):
            await resilient_ws.connect(
                [first.url(), second.url()], reconnect=Reconnect(wait=wait_fixed(10))
            ).__aenter__()
        assert [len(s.dials) for s in (first, second)] == [1, 2]


async def test_retry_now_cuts_the_wait(server: ScriptedServer) -> None:
    server.play(rejecting(503), hold)
    async with offline(server, wait=wait_fixed(1000)) as session:
        session.retry_now()
        await session.wait_until(State.BACKOFF)
        await asyncio.sleep(3)
        session.retry_now()
        await session.wait_until(State.OPEN)
        session.retry_now()
        await asyncio.sleep(3)
        assert session.epoch == 1
    assert gaps(server) == [3]


@pytest.mark.parametrize("call", ["retry_now", "reconnect"])
async def test_a_storm_of_requests_dials_five_times_a_second(
    server: ScriptedServer, call: str
) -> None:
    server.play(rejecting(503))
    async with offline(server, wait=wait_fixed(100)) as session:
        while now() < 4:
            if call == "retry_now":
                session.retry_now()
            else:
                session.reconnect("now")
            await asyncio.sleep(0.001)
    assert 15 <= len(server.dials) <= 21
    assert min(gaps(server)) >= MIN_DIAL_SPACING


async def test_reconnect_replaces_an_open_connection_without_backoff(
    server: ScriptedServer,
) -> None:
    async with ScriptedServer(hold) as other:
        session = resilient_ws.connect(
            server.url(), reconnect=Reconnect(wait=wait_fixed(1000))
        )
        events = recorded(session)
        async with session:
            await asyncio.sleep(1)
            session.reconnect("the host moves", url=f"{other.url()}/moved")
            await until(lambda: session.epoch == 2)
            assert now() == pytest.approx(1, abs=0.1)
            assert [path for _, path in other.requests] == ["/moved"]
            assert server.peer.close_received == (1000, "")
            session.reconnect("and back again")
            await until(lambda: session.epoch == 3)
            assert len(server.dials) == 2
        assert not of(events, resilient_ws.ConnectionDropped)
        first, second = of(events, resilient_ws.ConnectionReplaced)
        assert (first.epoch, first.reason) == (1, "the host moves")
        assert first.uptime == pytest.approx(1, abs=0.1)
        assert first.close is not None
        assert first.close.clean
        assert (second.epoch, second.reason) == (2, "and back again")
        scheduled = of(events, resilient_ws.RetryScheduled)
        assert [(e.delay, e.source) for e in scheduled] == 2 * [(0, "request")]
        assert "the host moves" in str(scheduled[0].because)
        assert session.statistics().drops == 0


async def test_reconnect_says_goodbye_with_the_code_it_is_given(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        first = server.peer
        session.reconnect("to be known again", code=4000)
        await until(lambda: session.epoch == 2)
        assert first.close_received == (4000, "")
        with pytest.raises(ValueError, match="1005"):
            session.reconnect("why", code=1005)
        with pytest.raises(TypeError, match="code"):
            session.reconnect("why", code="1000")  # type: ignore[arg-type]
        assert session.epoch == 2
    assert server.peer.close_received == (1000, "")


async def test_orders_given_in_one_breath_are_one(server: ScriptedServer) -> None:
    async with ScriptedServer(hold) as other:
        server.play(rejecting(503))
        async with offline(server, wait=wait_fixed(1000)) as session:
            await session.wait_until(State.BACKOFF)
            session.retry_now()
            session.reconnect("elsewhere it works", url=other.url())
            session.retry_now()
            await session.wait_until(State.OPEN)
            assert len(other.dials) == 1
            # What comes too late for a wait is no order for the connection.
            await session.close()
        assert len(server.dials) == 1


async def test_reconnect_while_dialling_and_restoring(server: ScriptedServer) -> None:
    stuck = asyncio.Event()

    async def on_open(connection: resilient_ws.Connection) -> None:
        if not stuck.is_set():
            await stuck.wait()

    server.play(hang, hold, hold)
    session = resilient_ws.connect(server.url(), on_open=on_open, wait_open=False)
    async with session:
        await server.arrivals(1)
        session.reconnect("it takes too long")
        await session.wait_until(State.RESTORING)
        session.reconnect("that too")
        await until(lambda: len(server.dials) == 3)
        stuck.set()
        await session.wait_until(State.OPEN)
        assert session.epoch == 1


async def test_reconnect_refuses_where_access_does(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(resilient_ws.SecurityError):
            session.reconnect("why", url="ws://example.com")
        with pytest.raises(ValueError, match="url"):
            session.reconnect("why", url="http://example.com")
        assert session.epoch == 1


def test_check_url_refuses_what_reconnect_would() -> None:
    session = resilient_ws.connect("wss://example.com")
    session.check_url("wss://example.com/next?ticket=1")
    with pytest.raises(resilient_ws.SecurityError):
        session.check_url("ws://example.com")
    with pytest.raises(ValueError, match="url"):
        session.check_url("http://example.com")


async def test_max_age_replaces_a_connection_in_time(server: ScriptedServer) -> None:
    policy = Reconnect(max_age=100, rng=random.Random(1))
    session = resilient_ws.connect(server.url(), reconnect=policy)
    events = recorded(session)
    async with session:
        await asyncio.sleep(1000)
    assert all(90 <= gap <= 100.3 for gap in gaps(server))
    assert len(server.dials) == pytest.approx(11, abs=1)
    assert not of(events, resilient_ws.ConnectionDropped)
    replaced = of(events, resilient_ws.ConnectionReplaced)
    assert {event.reason for event in replaced} == {"it has reached max_age"}
    assert [event.epoch for event in replaced] == list(range(1, len(server.dials)))


async def test_after_max_outage_what_was_received_comes_first_and_then_gave_up(
    server: ScriptedServer,
) -> None:
    async def later(peer: Peer) -> None:
        await asyncio.sleep(20)
        await peer.reset()

    server.play(feeding("1", "2", "3", then=later), rejecting(503))
    async with offline(server, wait=wait_fixed(10), max_outage=35) as session:
        began = now()
        await until(lambda: session.state is State.CLOSED)
        assert now() - began == pytest.approx(20 + 30, abs=0.1)
        assert await session.receive() == "1"
        taken = []
        with pytest.raises(resilient_ws.GaveUp) as caught:  # noqa: PT012 - the loop
            async for message in session:
                taken.append(message)  # noqa: PERF401 - a comprehension loses them
        assert taken == ["2", "3"]
        calls: tuple[Callable[[], Any], ...] = (
            lambda: session.send("x"),
            session.receive,
            session.wait_closed,
            lambda: session.wait_until(State.OPEN),
            lambda: anext(session.with_interruptions()),
        )
        for call in calls:
            with pytest.raises(resilient_ws.GaveUp):
                await call()
        for steer in (session.retry_now, lambda: session.reconnect("x")):
            with pytest.raises(resilient_ws.GaveUp):
                steer()
        gave_up = caught.value
        assert session.failure is gave_up
        assert "max_outage" in str(gave_up)
        lost, *failures = gave_up.history
        assert isinstance(lost, resilient_ws.ConnectionLost)
        assert gave_up.attempts == len(failures)
        assert gave_up.history[-1] is gave_up.__cause__
        assert gave_up.elapsed == pytest.approx(30, abs=0.1)


async def test_gave_up_at_the_loss_of_a_stable_connection_tells_the_loss(
    server: ScriptedServer,
) -> None:
    server.play(closing(1001, after=20))
    async with offline(server, stop=lambda _: True) as session:
        await until(lambda: session.state is State.CLOSED)
        gave_up = session.failure
        assert isinstance(gave_up, resilient_ws.GaveUp)
        assert gave_up.attempts == 0
        assert gave_up.history == (gave_up.__cause__,)
        assert isinstance(gave_up.__cause__, resilient_ws.ConnectionLost)


async def test_gave_up_reaches_those_who_wait_already(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    async with offline(
        server, wait=wait_fixed(10), stop=tenacity.stop_after_attempt(2)
    ) as session:
        waits = [
            asyncio.ensure_future(session.receive()),
            asyncio.ensure_future(session.wait_closed()),
            asyncio.ensure_future(session.wait_until(State.OPEN)),
        ]
        cancelled = asyncio.ensure_future(session.wait_until(State.OPEN))
        await asyncio.sleep(1)
        cancelled.cancel()
        for outcome in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(outcome, resilient_ws.GaveUp)


async def test_after_giving_up_and_closing_send_still_says_gave_up(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    session = offline(server, stop=stop_after_attempt(1))
    async with session:
        with pytest.raises(GaveUp):
            await session.wait_closed()
    with pytest.raises(GaveUp):
        await session.receive()
    with pytest.raises(GaveUp):
        await session.wait_until(State.OPEN)
    with pytest.raises(GaveUp):
        await session.send("x")


@pytest.mark.parametrize(
    ("stop", "dials"),
    [
        (tenacity.stop_after_attempt(1), 1),
        (tenacity.stop_after_attempt(4), 4),
        (tenacity.stop_after_delay(25), 4),
        (tenacity.stop_before_delay(25), 3),
        (tenacity.stop_any(tenacity.stop_after_attempt(2), tenacity.stop_never), 2),
    ],
    ids=["one attempt", "four", "after delay", "before delay", "any"],
)
async def test_any_stop_of_tenacity_is_obeyed(
    server: ScriptedServer, stop: Any, dials: int
) -> None:
    server.play(rejecting(503))
    async with offline(server, wait=wait_fixed(10), stop=stop) as session:
        with pytest.raises(resilient_ws.GaveUp) as caught:
            await session.wait_closed()
    assert len(server.dials) == dials
    assert caught.value.attempts == dials


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (wait_fixed(3), [3, 3, 3]),
        (tenacity.wait_chain(wait_fixed(1), wait_fixed(2), wait_fixed(5)), [1, 2, 5]),
        (tenacity.wait_exponential(multiplier=1, max=3), [1, 2, 3]),
        (wait_fixed(1) + wait_fixed(2), [3, 3, 3]),
        (lambda state: state.attempt_number * 4.0, [4, 8, 12]),
    ],
    ids=["fixed", "chain", "exponential", "sum", "a function"],
)
async def test_any_wait_of_tenacity_is_obeyed(
    server: ScriptedServer, wait: Any, expected: list[float]
) -> None:
    server.play(*3 * [rejecting(503)], hold)
    async with offline(server, wait=wait) as session:
        await session.wait_until(State.OPEN)
    assert gaps(server) == expected


async def test_a_wait_that_answers_nonsense_ends_the_session_with_the_bug(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(rejecting(503))
    async with offline(server, wait=lambda _: float("nan")) as session:
        with pytest.raises(Fatal, match=r"Reconnect\.wait") as caught:
            await session.wait_closed()
    assert isinstance(caught.value.__cause__, ValueError)
    assert "finite number of seconds" in caplog.text


async def test_classify_decides(server: ScriptedServer) -> None:
    endings: list[Ending] = []
    answers: list[Verdict | None] = [RETRY, RETRY_FRESH, None, RETRY, FATAL]

    def classify(ending: Ending) -> Verdict | None:
        endings.append(ending)
        return answers[min(len(endings), len(answers)) - 1]

    server.play(
        rejecting(404), closing(4000), resetting(), hang, closing(1000, after=3.0)
    )
    session = resilient_ws.connect(
        server.url(),
        wait_open=False,
        timeouts=Timeouts(open=2),
        reconnect=Reconnect(wait=wait_fixed(1), classify=classify, fatal_after=2),
    )
    async with session:
        with pytest.raises(resilient_ws.ConnectionLost):
            await session.wait_closed()
    assert [e.status for e in endings[:1]] == [404]
    assert endings[1].code == 4000
    assert endings[2].how == "reset"
    assert isinstance(endings[3].because, resilient_ws.OpenTimeout)
    assert [e.state for e in endings] == [
        State.CONNECTING,
        State.OPEN,
        State.OPEN,
        State.CONNECTING,
        # After the first open a fatal verdict must stand for fatal_after.
        State.OPEN,
        State.OPEN,
    ]


async def test_a_classify_that_raises_is_reported_and_the_default_stands(
    server: ScriptedServer,
) -> None:
    def classify(_: Ending) -> None:
        raise ZeroDivisionError

    server.play(rejecting(503), hold)
    session = offline(server, wait=wait_fixed(1), classify=classify)
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
    (failed,) = of(events, resilient_ws.HandlerFailed)
    assert failed.handler == "classify"
    assert isinstance(failed.because, ZeroDivisionError)


async def test_fatal_from_classify_ends_the_session(server: ScriptedServer) -> None:
    fatal = resilient_ws.Fatal("enough")

    def classify(_: Ending) -> None:
        raise fatal

    server.play(rejecting(503))
    async with offline(server, classify=classify) as session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
    assert caught.value is fatal


@pytest.mark.parametrize("where", ["url", "headers"])
@pytest.mark.parametrize(
    "failure", [OSError(5, "disk"), TimeoutError(), ConnectionResetError()], ids=repr
)
async def test_a_network_error_of_a_callable_is_a_failed_attempt(
    server: ScriptedServer, where: str, failure: Exception
) -> None:
    calls: list[int] = []

    def failing(attempt: Attempt) -> Any:
        calls.append(attempt.number)
        if attempt.number < 3:
            raise failure
        return server.url() if where == "url" else {}

    session = resilient_ws.connect(
        failing if where == "url" else server.url(),
        headers=failing if where == "headers" else None,
        reconnect=Reconnect(wait=wait_fixed(1)),
    )
    async with session:
        assert calls == [1, 2, 3]


@pytest.mark.parametrize("where", ["url", "headers"])
@pytest.mark.parametrize("bug", ["raises", "returns nonsense", "refused"])
async def test_a_bug_in_a_callable_ends_the_session_with_it(
    server: ScriptedServer, where: str, bug: str
) -> None:
    def broken(_: Attempt) -> Any:
        if bug == "raises":
            raise ZeroDivisionError
        if bug == "refused":
            msg = "no"
            raise resilient_ws.Fatal(msg)
        return 17

    session = resilient_ws.connect(
        broken if where == "url" else server.url(),
        headers=broken if where == "headers" else None,
    )
    with pytest.raises(resilient_ws.Fatal) as caught:
        await session.__aenter__()
    cause = {"raises": ZeroDivisionError, "returns nonsense": TypeError}.get(bug)
    assert cause is None or isinstance(caught.value.__cause__, cause)
    assert session.state is State.CLOSED


async def test_a_callable_that_hangs_is_bounded_by_the_time_to_open(
    server: ScriptedServer,
) -> None:
    async def url(attempt: Attempt) -> str:
        if attempt.number == 1:
            await asyncio.Event().wait()
        return server.url()

    session = resilient_ws.connect(
        url, timeouts=Timeouts(open=4), reconnect=Reconnect(wait=wait_fixed(1))
    )
    events = recorded(session)
    async with session:
        assert now() == pytest.approx(5)
    (timed_out,) = of(events, resilient_ws.ConnectionTimedOut)
    assert (timed_out.kind, timed_out.after) == ("open", 4)


async def test_a_server_that_hangs_up_before_its_answer_is_dialled_once_an_attempt(
    server: ScriptedServer,
) -> None:
    async def hangs_up(peer: Peer) -> None:
        await peer.reset()

    server.play(hangs_up)
    async with offline(server, wait=wait_fixed(1)):
        await until(lambda: len(server.dials) == 5)
    assert min(gaps(server)) >= 1


async def test_an_attempt_that_was_not_dialled_tells_nothing_of_the_one_before(
    server: ScriptedServer,
) -> None:
    async def half(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 101 Sw")
        await peer.ended()

    server.play(half)
    session = resilient_ws.connect(
        server.url(),
        wait_open=False,
        timeouts=Timeouts(open=0.08),
        reconnect=Reconnect(wait=wait_fixed(0)),
    )
    events = recorded(session)
    async with session:
        await until(lambda: len(of(events, resilient_ws.AttemptFailed)) == 2)
        assert len(server.dials) == 1
    first, second = of(events, resilient_ws.AttemptFailed)
    assert "15 bytes of a response" in str(first.because)
    assert "bytes of a response" not in str(second.because)
