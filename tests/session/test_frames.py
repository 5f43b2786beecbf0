"""What a call raises comes to the user without a frame of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import Fatal, Outbox, State
from resilient_ws.testing.scripts import hold, rejecting


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer


def modules(place: TracebackType | None) -> Iterator[str]:
    while place is not None:
        yield place.tb_frame.f_globals["__name__"].partition(".")[0]
        place = place.tb_next


async def raised_while_handling(call: Callable[[], Any]) -> Exception:
    """Return what a call raises in an ``except`` block of the user's."""
    mine = LookupError("the user's own")
    try:
        raise mine
    except LookupError:
        with pytest.raises((resilient_ws.ResilientWSError, ValueError)) as caught:
            await call()
    assert caught.value.__context__ is mine
    return caught.value


CALLS: dict[str, Callable[[Session], Awaitable[object]]] = {
    "ping": lambda session: session.ping(),
    "wait_closed": lambda session: session.wait_closed(),
    "wait_until": lambda session: session.wait_until(State.OPEN),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_after_the_end(server: ScriptedServer, name: str) -> None:
    server.play(hold)
    ending = Fatal("over")
    async with resilient_ws.connect(server.url()) as session:

        @session.on(resilient_ws.MessageReceived)
        def fatal(_: resilient_ws.MessageReceived) -> None:
            raise ending

        await server.peer.send("x")
        with pytest.raises(Fatal):
            await session.wait_closed()
        failure = await raised_while_handling(lambda: CALLS[name](session))
    assert failure is ending
    assert "resilient_ws" not in set(modules(failure.__traceback__))


async def test_a_call_with_a_wrong_url(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:

        async def reconnect() -> None:
            session.reconnect("there", url="nowhere")

        failure = await raised_while_handling(reconnect)
    assert isinstance(failure, ValueError)
    assert "resilient_ws" not in set(modules(failure.__traceback__))


async def test_entering(server: ScriptedServer) -> None:
    server.play(rejecting(404))
    session = resilient_ws.connect(server.url())
    failure = await raised_while_handling(session.__aenter__)
    assert isinstance(failure, resilient_ws.HandshakeRejected)
    assert "resilient_ws" not in set(modules(failure.__traceback__))


async def test_connecting() -> None:
    async def connect() -> None:
        resilient_ws.connect("nowhere", outbox=Outbox())

    failure = await raised_while_handling(connect)
    assert "resilient_ws" not in set(modules(failure.__traceback__))
