"""A session belongs to one loop, thread and process. (Real loops, for real threads.)"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import State
from resilient_ws.testing.scripts import echo, hang


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer


def calls(session: Session) -> list[Callable[[], Any]]:
    """Every way to use a session that is entered."""
    return [
        lambda: session.send("x"),
        session.receive,
        session.receive_many,
        session.close,
        session.wait_closed,
        lambda: session.wait_until(State.CLOSED),
        lambda: aiter(session),
        session.with_interruptions,
        session.retry_now,
        lambda: session.reconnect("why"),
    ]


async def refusals(session: Session) -> list[str]:
    """What each use raises, as text."""
    texts = []
    for call in calls(session):
        try:
            result = call()
            if asyncio.iscoroutine(result):
                await result
        except RuntimeError as refusal:
            texts.append(str(refusal))
        else:
            texts.append("no error")
    return texts


async def test_another_thread_is_told_what_to_use_instead(
    server: ScriptedServer,
) -> None:
    server.play(echo)
    async with resilient_ws.connect(server.url()) as session:
        texts = await asyncio.to_thread(lambda: asyncio.run(refusals(session)))
        assert len(texts) == len(calls(session))
        assert all("run_coroutine_threadsafe" in text for text in texts)

        loop = asyncio.get_running_loop()
        delivery = await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(
                session.send("from a thread"), loop
            ).result()
        )
        assert delivery.state is resilient_ws.DeliveryState.WRITTEN
        assert await session.receive() == "from a thread"


async def test_an_iterator_taken_elsewhere_is_refused_too(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        iterators: list[Any] = [aiter(session), session.with_interruptions()]
        refused: list[str] = []

        async def step(iterator: Any) -> None:
            with pytest.raises(RuntimeError, match="another event loop") as caught:
                await anext(iterator)
            refused.append(str(caught.value))

        for iterator in iterators:
            await asyncio.to_thread(asyncio.run, step(iterator))
        assert len(refused) == 2


async def test_without_any_loop_running_it_is_refused(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        refused: list[RuntimeError] = []

        def steer() -> None:
            try:
                session.retry_now()
            except RuntimeError as refusal:
                refused.append(refusal)

        thread = threading.Thread(target=steer)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(refused) == 1


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
async def test_a_forked_child_is_refused_everything(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - in another process
            try:
                texts = _in_child(session)
                os.write(writing, "\n".join(texts).encode())
            except BaseException:  # noqa: BLE001 - the child must end here
                os.write(writing, traceback.format_exc().encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = await asyncio.to_thread(pipe.read)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0
        lines = said.decode().splitlines()
        assert len(lines) == len(calls(session))
        assert all("parent process" in line for line in lines), said.decode()
        # The parent's link is whole.
        assert session.state is State.OPEN


def _in_child(session: Session) -> list[str]:  # pragma: no cover - in another process
    # The forked thread still counts as inside the parent's running loop.
    coroutine = refusals(session)
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        texts: list[str] = stopped.value
        return texts
    return ["it waited"]


async def test_a_session_may_be_closed_from_another_thread_by_the_loop(
    server: ScriptedServer,
) -> None:
    server.play(hang)
    async with resilient_ws.connect(server.url(), wait_open=False) as session:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(resilient_ws.SessionClosed):
            await asyncio.to_thread(
                lambda: asyncio.run_coroutine_threadsafe(session.close(), loop).result()
            )
        assert session.state is State.CLOSED
