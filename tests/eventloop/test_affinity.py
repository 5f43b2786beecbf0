"""Where a session belongs. (``tests/session/test_belonging.py`` has whole sessions.)"""

from __future__ import annotations

import asyncio
import os

import pytest

from resilient_ws.eventloop.affinity import Home
from tests.eventloop.fork import in_a_child


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_sessions_of_a_child_are_at_home_in_it() -> None:
    home = Home.here()

    def in_child() -> bytes:  # pragma: no cover - in another process
        async def enter() -> Home:
            return Home.here()

        with asyncio.Runner() as runner:
            own = runner.run(enter())
            facts = (home.in_this_process, home.thread, own.in_this_process)
        return repr(facts).encode()

    expected = repr((False, 0, True)).encode()
    assert await asyncio.to_thread(in_a_child, in_child) == expected
    assert home.in_this_process


async def test_all_sessions_of_a_loop_have_one_home() -> None:
    home = Home.here()
    assert Home.here() is home
    home.check()
    elsewhere = await asyncio.to_thread(asyncio.run, running())
    assert home.loop is not elsewhere


def test_a_loop_that_moves_to_another_thread_is_followed() -> None:
    async def enter() -> tuple[Home, int]:
        home = Home.here()
        return home, home.thread

    with asyncio.Runner() as runner:
        home, thread = runner.run(enter())
        loop = runner.get_loop()

        async def moved() -> tuple[Home, int]:
            return await asyncio.to_thread(loop.run_until_complete, enter())

        again, another = asyncio.run(moved())
    assert again is home
    assert another != thread
