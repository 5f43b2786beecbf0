"""Sessions that share a limiter dial at its pace, in order, and never get stuck."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import resource
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

import resilient_ws
from resilient_ws import (
    AttemptFailed,
    AttemptQueued,
    ConnectLimiter,
    OpenTimeout,
    Reconnect,
    State,
    StateChanged,
    Timeouts,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import hang, hold, rejecting
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resilient_ws import Event, Session
    from resilient_ws.testing import Peer


AT_ONCE = Reconnect(wait=tenacity.wait_none())
FLEET = 1000


def most_in_a_window(times: Sequence[float], per: float) -> int:
    """The largest number of these moments in any closed window."""
    window: collections.deque[float] = collections.deque()
    most = 0
    for when in sorted(times):
        window.append(when)
        while window[0] < when - per:
            window.popleft()
        most = max(most, len(window))
    return most


def offline(url: Any, limiter: ConnectLimiter, **options: Any) -> Session:
    options = {"wait_open": False, "reconnect": AT_ONCE, **options}
    return resilient_ws.connect(url, limiter=limiter, **options)


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Room for both ends of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * FLEET
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(hard, wanted), hard)
    )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Fleet:
    """A thousand sessions with one limiter, and when each of their attempts began."""

    def __init__(self, server: ScriptedServer, limiter: ConnectLimiter) -> None:
        self.began: dict[str, list[float]] = collections.defaultdict(list)
        self.sessions: list[Session] = []
        for number in range(FLEET):
            policy = Reconnect(rng=random.Random(number))
            path = f"/{number}"
            session = offline(server.url() + path, limiter, reconnect=policy)
            session.on(StateChanged, self._noting(path))
            self.sessions.append(session)

    def _noting(self, path: str) -> Any:
        def note(event: StateChanged) -> None:
            if event.current is State.CONNECTING:
                self.began[path].append(now())

        return note

    def all_open(self) -> bool:
        return all(session.state is State.OPEN for session in self.sessions)


async def test_a_thousand_sessions_come_back_at_the_pace_and_in_order(
    many_sockets: None,
) -> None:
    limiter = ConnectLimiter(rate=100, per=5.0, concurrency=20)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        fleet = Fleet(server, limiter)
        async with contextlib.AsyncExitStack() as stack:
            for session in fleet.sessions:
                await stack.enter_async_context(session)
            await until(fleet.all_open)
            # The server goes, for half a minute, and all notice in one moment.
            server.play(rejecting(503))
            for peer in list(server.peers):
                await peer.reset()
            await turns()
            assert not any(session.state is State.OPEN for session in fleet.sessions)
            await asyncio.sleep(30.0)
            server.play(hold)
            back = now()
            await until(fleet.all_open)
            took = now() - back
            alive = [peer.path for peer in server.peers if not peer.gone]
    assert sorted(alive) == sorted(fleet.began), "each once, and none twice"
    assert most_in_a_window(server.dials, limiter.per) == limiter.rate
    # Ten windows are enough for a thousand; and the backoff has its 60 s.
    assert took <= 60.0 + limiter.per * FLEET / limiter.rate
    dialled: dict[str, list[float]] = collections.defaultdict(list)
    for when, path in server.requests:
        dialled[path].append(when)
    assert {p: len(t) for p, t in dialled.items()} == {
        p: len(t) for p, t in fleet.began.items()
    }
    order = sorted(
        (began, when)
        for path, times in fleet.began.items()
        for began, when in zip(times, dialled[path], strict=True)
    )
    in_turn = [when for _, when in order]
    assert in_turn == sorted(in_turn), "first come, first served"
    assert (limiter.waiting, limiter.in_use) == (0, 0)


async def test_the_wait_does_not_count_against_timeouts_open() -> None:
    limiter = ConnectLimiter(rate=1, per=60.0)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        short = Timeouts(open=0.5)
        first = offline(server.url(), limiter, timeouts=short)
        second = offline(server.url(), limiter, timeouts=short)
        events = recorded(second)
        async with first, second:
            await first.wait_until(State.OPEN)
            await turns()
            assert second.state is State.CONNECTING
            assert (limiter.waiting, limiter.in_use) == (1, 0)
            await second.wait_until(State.OPEN)
            assert now() == pytest.approx(60.0, abs=0.1)
        assert not of(events, AttemptFailed)


async def test_the_dial_after_a_wait_has_the_whole_of_timeouts_open() -> None:
    limiter = ConnectLimiter(rate=1, per=60.0)
    async with assert_no_leaks(), ScriptedServer(hold, hang) as server:
        second = offline(server.url(), limiter, timeouts=Timeouts(open=3.0))
        events = recorded(second)
        async with offline(server.url(), limiter), second:
            await until(lambda: of(events, AttemptFailed))
            dialled = server.dials[1]
            (failed,) = of(events, AttemptFailed)
            assert isinstance(failed.because, OpenTimeout)
            assert failed.elapsed == pytest.approx(63.0, abs=0.1)
            assert now() - dialled == pytest.approx(3.0, abs=0.1)


async def test_who_waits_is_told_of_the_line() -> None:
    limiter = ConnectLimiter(rate=1, per=1.0)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        sessions = [offline(server.url(), limiter) for _ in range(3)]
        heard = [recorded(session) for session in sessions]
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session)
            await turns()
            assert "2 waiting, 0 in use" in repr(limiter)
            for session in sessions:
                await session.wait_until(State.OPEN)
    queued = [of(events, AttemptQueued) for events in heard]
    assert queued == [
        [],
        [AttemptQueued(attempt=1, ahead=0)],
        [AttemptQueued(attempt=1, ahead=1)],
    ]


async def test_wait_open_counts_the_wait_and_names_the_limiter() -> None:
    limiter = ConnectLimiter(rate=1, per=60.0)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        async with resilient_ws.connect(server.url(), limiter=limiter):
            with pytest.raises(OpenTimeout, match=r"ConnectLimiter 1 per 60 s.*raise"):
                async with offline(server.url(), limiter, wait_open=5.0):
                    pytest.fail("entered")
            assert now() == pytest.approx(5.0, abs=0.1)
        assert (limiter.waiting, limiter.in_use) == (0, 0)


@pytest.mark.parametrize("how", ["close", "leave", "cancel"])
async def test_who_waits_can_go_at_once_and_the_next_moves_up(how: str) -> None:
    limiter = ConnectLimiter(rate=1, per=60.0)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        async with offline(server.url(), limiter) as first:
            await first.wait_until(State.OPEN)
            impatient = offline(server.url(), limiter, wait_open=how == "cancel")
            entering = asyncio.create_task(impatient.__aenter__())
            await turns()
            async with offline(server.url(), limiter) as third:
                await turns()
                assert limiter.waiting == 2
                began = now()
                if how == "cancel":
                    entering.cancel()
                    await asyncio.wait({entering})
                    assert entering.cancelled()
                elif how == "close":
                    await impatient.close()
                else:
                    await impatient.__aexit__(None, None, None)
                assert now() == began
                assert impatient.state is State.CLOSED
                assert limiter.waiting == 1
                await third.wait_until(State.OPEN)
                assert now() == pytest.approx(60.0, abs=0.1)
        assert len(server.peers) == 2


async def test_retry_now_and_reconnect_do_not_jump_the_line() -> None:
    limiter = ConnectLimiter(rate=1, per=10.0)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        paths = ["/0", "/1", "/2", "/3"]
        sessions = [offline(server.url() + path, limiter) for path in paths]
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session)
                await turns()
            sessions[3].retry_now()
            sessions[2].reconnect("in a hurry")
            # Its place is lost with another URL, for that is another attempt.
            sessions[1].reconnect("elsewhere", url=f"{server.url()}/elsewhere")
            for session in sessions:
                await session.wait_until(State.OPEN)
    assert [path for _, path in server.requests] == ["/0", "/2", "/3", "/elsewhere"]
    gaps = [b - a for a, b in zip(server.dials, server.dials[1:], strict=False)]
    assert gaps == pytest.approx([10.0] * 3, abs=0.1)


async def test_a_session_whose_attempt_fails_goes_to_the_end_of_the_line() -> None:
    limiter = ConnectLimiter(rate=1, per=10.0)

    async def first_fails(peer: Peer) -> None:
        if len(server.requests) == 1:
            await peer.reject(503)
        else:
            await hold(peer)

    async with assert_no_leaks(), ScriptedServer(first_fails) as server:
        sessions = [offline(f"{server.url()}/{name}", limiter) for name in "abc"]
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session)
            for session in sessions:
                await session.wait_until(State.OPEN)
    assert [path for _, path in server.requests] == ["/a", "/b", "/c", "/a"]


async def test_so_many_dials_are_under_way_at_once_and_no_more() -> None:
    limiter = ConnectLimiter(rate=100, per=1.0, concurrency=2)
    async with assert_no_leaks(), ScriptedServer(hang, hang, hold) as server:
        sessions = [offline(server.url(), limiter) for _ in range(5)]
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session)
            await asyncio.sleep(9.0)
            assert len(server.peers) == 2
            assert (limiter.waiting, limiter.in_use) == (3, 2)
            for session in sessions:
                await session.wait_until(State.OPEN)
            # The two that hung gave their places back after timeouts.open.
            assert now() == pytest.approx(10.0, abs=1.5)
    assert (limiter.waiting, limiter.in_use) == (0, 0)


async def test_on_open_runs_without_a_slot() -> None:
    limiter = ConnectLimiter(rate=2, per=1.0, concurrency=1)

    async def on_open(_: object) -> None:
        await asyncio.sleep(5.0)

    async with assert_no_leaks(), ScriptedServer(hold) as server:
        slow = offline(server.url(), limiter, on_open=on_open)
        async with slow, offline(server.url(), limiter) as other:
            await other.wait_until(State.OPEN)
            assert slow.state is State.RESTORING
            assert now() < 1.0


def raising(*failures: Exception) -> Any:
    """A url callable that raises these, one after another, and then never comes back."""
    left = list(failures)

    async def url(_: object) -> str:
        if left:
            raise left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return url


async def test_what_failed_before_it_dialled_does_not_count() -> None:
    limiter = ConnectLimiter(rate=1, per=3600.0, concurrency=1)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        url = raising(OSError("no token"), OSError("no token"))
        async with offline(url, limiter) as tokenless:
            await until(lambda: tokenless.statistics().attempts == 3)
            async with offline(server.url(), limiter) as session:
                # The third attempt of the other holds its place for as long as it may.
                await session.wait_until(State.OPEN)
                assert now() == pytest.approx(10.0, abs=0.5)


async def failed_once(events: list[Event]) -> None:
    await until(lambda: of(events, AttemptFailed))


async def failed_or_ended(session: Session) -> None:
    await until(lambda: session.statistics().attempts > 1 or session.failure)


async def test_a_slot_is_released_whatever_ends_the_dial() -> None:
    """One after the other on a limiter for one: a place that is kept would stop all."""
    limiter = ConnectLimiter(rate=1000, per=1.0, concurrency=1)

    async def leaves(peer: Peer) -> None:
        await peer.drop()

    async def wrong(peer: Peer) -> None:
        await peer.accept(headers={"Sec-WebSocket-Accept": "wrong"})

    async def astray(peer: Peer) -> None:
        await peer.reject(302, headers={"Location": "ftp://example.com"})

    scripts = [rejecting(503), rejecting(404), hang, leaves, wrong, astray]
    async with assert_no_leaks():
        for script in scripts:
            async with ScriptedServer(script) as server:
                session = offline(server.url(), limiter)
                events = recorded(session)
                async with session:
                    await failed_once(events)
        for failure in (OSError(), ValueError(), resilient_ws.Fatal("enough")):
            session = offline(raising(failure), limiter)
            async with session:
                await failed_or_ended(session)
        async with offline(raising(), limiter):
            await turns()
            assert limiter.in_use == 1
        async with ScriptedServer(hang) as server, offline(server.url(), limiter):
            await server.arrivals(1)
            assert limiter.in_use == 1
        assert (limiter.waiting, limiter.in_use) == (0, 0)
        async with (
            ScriptedServer(hold) as server,
            resilient_ws.connect(server.url(), limiter=limiter),
        ):
            assert limiter.in_use == 0


async def test_every_redirect_is_a_dial_and_goes_before_the_line() -> None:
    limiter = ConnectLimiter(rate=1, per=20.0, concurrency=1)

    async def script(peer: Peer) -> None:
        if peer.path == "/a":
            await peer.reject(302, headers={"Location": "/b"})
        else:
            await hold(peer)

    async with assert_no_leaks(), ScriptedServer(script) as server:
        # The wait for the second dial does not count against timeouts.open either.
        moved = offline(f"{server.url()}/a", limiter, timeouts=Timeouts(open=2.0))
        async with moved, offline(f"{server.url()}/c", limiter) as other:
            await moved.wait_until(State.OPEN)
            await other.wait_until(State.OPEN)
            assert moved.statistics().attempts == 1
    assert [path for _, path in server.requests] == ["/a", "/b", "/c"]
    assert server.dials == pytest.approx([0.0, 20.0, 40.0], abs=0.2)


async def test_every_endpoint_of_a_session_is_dialled_through_the_limiter() -> None:
    limiter = ConnectLimiter(rate=1, per=20.0)
    async with assert_no_leaks(), ScriptedServer(rejecting(503), hold) as server:
        urls = [f"{server.url()}/a", f"{server.url()}/b"]
        async with offline(urls, limiter) as session:
            await session.wait_until(State.OPEN)
    assert server.dials[1] - server.dials[0] >= 20.0


async def test_callables_are_asked_when_the_wait_is_over() -> None:
    limiter = ConnectLimiter(rate=1, per=60.0)
    asked: list[float] = []
    async with assert_no_leaks(), ScriptedServer(hold) as server:

        def url(_: object) -> str:
            asked.append(now())
            return server.url()

        async with (
            offline(server.url(), limiter),
            offline(url, limiter) as session,
        ):
            await session.wait_until(State.OPEN)
    assert asked == pytest.approx([60.0], abs=0.1)


@pytest.mark.parametrize("seed", range(10))
async def test_whoever_goes_whenever_blocks_nobody(seed: int) -> None:
    draw = random.Random(seed)
    limiter = ConnectLimiter(rate=7, per=2.0, concurrency=3)

    async def script(peer: Peer) -> None:
        await asyncio.sleep(draw.uniform(0.0, 2.0))
        if draw.random() < 0.3:
            await peer.reject(503)
        else:
            await hold(peer)

    async def leave(session: Session, after: float) -> None:
        async with session:
            await asyncio.sleep(after)
            if draw.random() < 0.3:
                session.reconnect("a whim")
            if draw.random() < 0.3:
                raise asyncio.CancelledError

    async with (
        assert_no_leaks(),
        ScriptedServer(script) as server,
        offline(server.url(), limiter, wait_open=600.0) as patient,
    ):
        sessions = [offline(server.url(), limiter) for _ in range(60)]
        tasks = [
            asyncio.create_task(leave(session, draw.uniform(0.0, 30.0)))
            for session in sessions
        ]
        await asyncio.wait(tasks)
        await patient.wait_until(State.OPEN)
        await turns()
        assert (limiter.waiting, limiter.in_use) == (0, 0)
    assert most_in_a_window(server.dials, limiter.per) <= limiter.rate


def test_a_limiter_belongs_to_one_loop() -> None:
    limiter = ConnectLimiter(rate=5, per=1.0)

    async def enter() -> None:
        async with (
            ScriptedServer(hold) as server,
            resilient_ws.connect(server.url(), limiter=limiter),
        ):
            pass

    asyncio.run(enter())
    with pytest.raises(RuntimeError, match="one ConnectLimiter for each loop"):
        asyncio.run(enter())
