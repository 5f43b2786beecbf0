"""Virtual time: real sessions, hours in milliseconds, and no test that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Liveness, Reconnect, State
from resilient_ws.testing import (
    BlackHole,
    Deadlock,
    Delay,
    FaultProxy,
    ScriptedServer,
    VirtualLoop,
    assert_no_leaks,
)
from resilient_ws.testing.scripts import closing, echo
from tests.record import now


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


def run(main: Callable[[], Coroutine[Any, Any, object]]) -> object:
    """Run in a loop of its own, as a test with a deadlock must."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def test_an_hour_of_a_session_costs_milliseconds() -> None:
    async with (
        assert_no_leaks(),
        ScriptedServer(echo) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
    ):
        proxy.apply(Delay(0.05))
        async with resilient_ws.connect(proxy.url("/feed")) as session:
            began, spent = now(), time.process_time()
            await asyncio.sleep(3600)
            spent = time.process_time() - spent
            assert now() - began == 3600
            # The hour was lived through: a ping every 20 s, each answered in 0.1 s.
            assert len(server.peer.pings) == pytest.approx(180, abs=2)
            assert session.latency == pytest.approx(0.1, abs=1e-5)
            assert session.epoch == 1
    assert spent < 36, "a hundredth of the hour"


async def test_a_day_of_a_server_that_restarts_every_hour() -> None:
    async with (
        assert_no_leaks(),
        ScriptedServer(closing(1001, after=3600)) as server,
        resilient_ws.connect(
            server.url(), liveness=Liveness(ping_interval=None)
        ) as session,
    ):
        await asyncio.sleep(24 * 3600)
        assert session.epoch == 24


async def test_a_black_hole_is_noticed_at_the_very_second() -> None:
    async with (
        assert_no_leaks(),
        ScriptedServer(echo) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        resilient_ws.connect(
            proxy.url(), reconnect=Reconnect(wait=wait_fixed(1))
        ) as session,
    ):
        for direction in ("up", "down"):
            await asyncio.sleep(1000)
            began = now()
            await session.send("x")
            await session.receive()
            proxy.apply(BlackHole("up" if direction == "up" else "down"))
            await session.wait_until(State.BACKOFF)
            assert now() - began == pytest.approx(40, abs=1e-3)
            proxy.heal()
            await session.wait_until(State.OPEN)


def test_the_clock_begins_at_0_and_jumps_to_each_timer() -> None:
    async def main() -> list[float]:
        times = [now()]
        for seconds in (0.1, 3600, 1e-9, 0):
            await asyncio.sleep(seconds)
            times.append(now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(50):
                await asyncio.Event().wait()
        return [*times, now()]

    assert run(main) == pytest.approx([0, 0.1, 3600.1, 3600.1, 3600.1, 3650.1])


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def main() -> tuple[str, float, float]:
        job = asyncio.create_task(asyncio.to_thread(time.sleep, 0.05))
        waiting = asyncio.create_task(asyncio.sleep(10))
        await job
        after = now()
        await waiting
        return "done", after, now()

    assert run(main) == ("done", 0, 10)


def test_a_deadlock_raises_and_says_what_each_task_waits_for() -> None:
    async def consumer(queue: asyncio.Queue[str]) -> str:
        return await queue.get()

    async def bot(queue: asyncio.Queue[str]) -> str:
        return await consumer(queue)

    async def main() -> None:
        task = asyncio.create_task(bot(asyncio.Queue()), name="my bot")
        await asyncio.sleep(1)
        await task

    with pytest.raises(Deadlock) as caught:
        run(main)
    first, *tasks = str(caught.value).splitlines()
    assert (
        first == "Every task waits, and there is no timer, no job in a thread, no I/O."
    )
    mine = next(line for line in tasks if line.startswith("  my bot waits in "))
    places = [place.rpartition(".")[2] for place in re.findall(r"([\w.<>]+) \(", mine)]
    assert places == ["bot", "consumer", "get"]
    assert "test_virtual_time.py:" in mine
    assert any("main" in line for line in tasks)


def test_a_generator_that_waits_is_told_too() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        async for _ in numbers():
            pass

    with pytest.raises(Deadlock, match=r"main .* -> .*numbers .* -> Event\.wait"):
        run(main)


def test_a_server_that_nobody_dials_is_a_deadlock() -> None:
    async def main() -> None:
        async with ScriptedServer() as server:
            await server.arrivals(1)

    with pytest.raises(Deadlock, match=r"ScriptedServer\.arrivals"):
        run(main)


def test_a_test_that_pings_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "longest", 3600.0)

    async def main() -> None:
        async with (
            ScriptedServer(echo) as server,
            resilient_ws.connect(server.url()) as session,
        ):
            await session.receive()

    with pytest.raises(
        Deadlock, match=r"3,600 s of virtual time.*\n.*Session\.receive"
    ):
        run(main)


def test_a_loop_that_is_blocked_is_late() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.call_later(1, lambda: times.append(loop.time()))
        loop.advance(30)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return times

    assert run(main) == [30]
