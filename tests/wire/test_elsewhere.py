"""A session and what it gave away belong to one loop and one thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import resilient_ws
from resilient_ws import State, StateChanged
from tests.wire.witness import eventually


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tests.servers.process import ServerProcess

LIMIT = 10.0
T = TypeVar("T")


def refusal_elsewhere(call: Callable[[], Awaitable[object] | object]) -> str:
    """What ``call`` raises in another thread with a loop of its own."""
    said: list[str] = []

    async def there() -> None:
        result = call()
        if asyncio.iscoroutine(result):
            async with asyncio.timeout(1):
                await result

    def run() -> None:
        try:
            asyncio.run(there())
        except Exception as refusal:  # noqa: BLE001 - the test looks at it
            said.append(f"{type(refusal).__name__}: {refusal}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive()
    return "".join(said) or "no error"


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_delivery_is_not_awaited_in_another_loop() -> None:
    url = f"ws://127.0.0.1:{unused_port()}"
    async with resilient_ws.connect(url, wait_open=False) as session:
        delivery = await session.send("x")
        said = await asyncio.to_thread(refusal_elsewhere, delivery.confirmed)
    assert said.startswith("RuntimeError")


async def test_callbacks_are_not_registered_from_another_thread(
    websockets_server: ServerProcess,
) -> None:
    async with resilient_ws.connect(f"{websockets_server.url}/echo") as session:
        assert session.state is State.OPEN
        said = await asyncio.to_thread(
            refusal_elsewhere, lambda: session.on(StateChanged, print)
        )
    assert said.startswith("RuntimeError")


async def test_messages_that_wait_are_not_taken_by_another_thread(
    websockets_server: ServerProcess,
) -> None:
    async with resilient_ws.connect(f"{websockets_server.url}/echo") as session:
        for text in ("a", "b", "c", "d"):
            await session.send(text)
        messages = aiter(session)
        assert await anext(messages) == "a"
        await eventually(lambda: session.statistics().inbox_messages == 3)
        assert await anext(messages) == "b"
        said = await asyncio.to_thread(refusal_elsewhere, lambda: anext(messages))
    assert said.startswith("RuntimeError")


def test_a_session_goes_with_its_loop_to_another_thread(
    websockets_server: ServerProcess,
) -> None:
    loop = asyncio.new_event_loop()
    session = resilient_ws.connect(f"{websockets_server.url}/echo")
    loop.run_until_complete(session.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def there(call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, loop).result(LIMIT)

    async def echoes() -> list[object]:
        for text in ("a", "b", "c"):
            await session.send(text)
        messages = aiter(session)
        await eventually(lambda: session.statistics().inbox_messages == 3)
        return [await anext(messages), await anext(messages), await session.receive()]

    try:
        assert there(echoes()) == ["a", "b", "c"]
        with pytest.raises(RuntimeError, match="another event loop or thread"):
            asyncio.run(session.send("d"))
        there(session.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        loop.close()
    assert session.state is State.CLOSED
