"""A session that nobody holds any more is ended, and somebody hears of it."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import ConnectionOpened, SessionClosed, State
from resilient_ws.testing.scripts import echo


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

REMEDY = "dropped without close.*async with connect.* as session"


async def entered(server: ScriptedServer, *, wait_open: bool = True) -> Session:
    """A session whose end nobody waits for."""
    return await resilient_ws.connect(server.url(), wait_open=wait_open).__aenter__()


async def busy(peer: Peer) -> None:
    await peer.reject(503)


async def all_is_quiet() -> None:
    """Wait until no task runs but this one."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(10.0):
        while any("resilient_ws" in task.get_name() for task in others):
            await asyncio.sleep(0.1)
            others = asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_dropped_session_is_ended_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(echo)
    session = await entered(server)
    ended: list[SessionClosed] = []
    session.on(SessionClosed, ended.append)
    await session.send("hello")
    assert await session.receive() == "hello"
    with pytest.warns(ResourceWarning, match=f"epoch 1, ws://.*{REMEDY}"):
        del session
    await all_is_quiet()
    (event,) = ended
    # The server is told, as by close().
    assert event.close is not None
    assert (event.close.code, event.close.clean) == (1000, True)
    assert "dropped without close()" in caplog.text


async def test_so_is_one_that_is_offline(server: ScriptedServer) -> None:
    server.play(busy)
    session = await entered(server, wait_open=False)
    await session.wait_until(State.BACKOFF)
    with pytest.warns(ResourceWarning, match=REMEDY):
        del session
    await all_is_quiet()


async def test_whoever_iterates_holds_the_session(server: ScriptedServer) -> None:
    server.play(echo)

    async def messages() -> AsyncIterator[str | bytes]:
        session = await entered(server)
        await session.send("hello")
        return aiter(session)

    iterator = await messages()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
        assert await anext(iterator) == "hello"
    with pytest.warns(ResourceWarning, match=REMEDY):
        del iterator
    await all_is_quiet()


async def test_a_callback_that_refers_to_the_session_holds_it(
    server: ScriptedServer,
) -> None:
    server.play(echo)
    done = asyncio.Event()

    async def leave_it_to_a_callback() -> None:
        session = resilient_ws.connect(server.url(), wait_open=False)

        @session.on(ConnectionOpened)
        async def talk(_: ConnectionOpened) -> None:
            await session.send("hello")
            assert await session.receive() == "hello"
            await session.close()
            done.set()

        await session.__aenter__()

    await leave_it_to_a_callback()
    gc.collect()
    async with asyncio.timeout(10.0):
        await done.wait()
    await all_is_quiet()


@pytest.mark.parametrize("how", ["never entered", "left", "closed", "closing"])
async def test_nothing_is_said_of_a_session_that_was_ended(
    how: str, server: ScriptedServer
) -> None:
    server.play(echo)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = resilient_ws.connect(server.url())
        if how == "left":
            async with session:
                pass
        elif how == "closed":
            await (await session.__aenter__()).close()
        elif how == "closing":
            await session.__aenter__()
            closing = asyncio.create_task(session.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
        del session
        gc.collect()
        await all_is_quiet()


PROGRAM = """
import asyncio, gc, os, resilient_ws

async def enter():
    session = resilient_ws.connect("ws://127.0.0.1:1234/", wait_open=False)
    await session.__aenter__()
    await session.wait_until(resilient_ws.State.BACKOFF)
    return session

loop = asyncio.new_event_loop()
session = loop.run_until_complete(enter())
{after}
"""


def run(after: str) -> str:
    """What a program says that leaves a session behind."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "always::ResourceWarning",
            "-c",
            PROGRAM.format(after=after),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stderr


def test_a_loop_that_is_closed_beneath_a_session_is_told_too() -> None:
    said = run("loop.close(); del session; gc.collect()")
    assert said.count("was dropped without close()") == 1
    assert "Exception ignored" not in said


def test_a_forked_child_does_not_end_the_session_of_its_parent() -> None:
    said = run(
        "child = os.fork()\n"
        "if child == 0:\n"
        "    del session; gc.collect(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "assert session.state is not resilient_ws.State.CLOSED\n"
        "loop.run_until_complete(session.close())\n"
        "loop.close()"
    )
    assert "was dropped" not in said
