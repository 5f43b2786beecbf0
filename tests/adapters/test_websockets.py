"""What a program sees that imports ``connect`` from ``resilient_ws.adapters``."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import websockets as original
from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
    InvalidURI,
)

from resilient_ws import Access, LivenessTimeout, Reconnect
from resilient_ws.adapters import websockets
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import (
    black_hole,
    closing,
    echo,
    hang,
    hold,
    rejecting,
    resetting,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resilient_ws.testing import Peer


def now() -> float:
    return asyncio.get_running_loop().time()


def test_what_is_not_defined_here_is_the_library_s_own() -> None:
    assert websockets.ConnectionClosed is original.ConnectionClosed
    assert websockets.exceptions is original.exceptions
    assert websockets.serve is original.serve
    assert websockets.connect.__module__ == "resilient_ws.adapters.websockets"
    with pytest.raises(AttributeError):
        websockets.no_such_thing  # noqa: B018


async def test_messages_go_both_ways(server: ScriptedServer) -> None:
    server.play(echo)
    async with websockets.connect(server.url("/x?y=1")) as websocket:
        await websocket.send("text")
        assert await websocket.recv() == "text"
        await websocket.send(bytearray(b"bytes"))
        assert await websocket.recv() == b"bytes"
        await websocket.send(["a", "b"])
        assert await websocket.recv(decode=False) == b"ab"
        await websocket.send(pieces())
        assert await websocket.recv(decode=True) == "cd"
        await websocket.send(b"as text", text=True)
        assert await websocket.recv() == "as text"
        await websocket.send("x")
        assert [part async for part in websocket.recv_streaming()] == ["x"]
        latency = await websocket.ping()
        assert await latency >= 0.0
        assert websocket.state.name == "OPEN"
        assert websocket.close_code is None
        assert websocket.request.path == "/x?y=1"
        assert websocket.response.status_code == 101
        assert websocket.response.headers["Upgrade"] == "websocket"
    assert websocket.state.name == "CLOSED"
    assert websocket.close_code == 1000


async def pieces() -> AsyncIterator[bytes]:
    yield b"c"
    yield b"d"


@pytest.mark.parametrize("wrong", [{"a": 1}, 5, ["a", b"b"]])
async def test_what_cannot_be_sent(server: ScriptedServer, wrong: Any) -> None:
    async with websockets.connect(server.url()) as websocket:
        with pytest.raises(TypeError):
            await websocket.send(wrong)


async def test_what_is_asked_for_is_sent(server: ScriptedServer) -> None:
    async def agree(peer: Peer) -> None:
        await peer.accept(subprotocol="v2")
        await peer.ended()

    server.play(agree)
    websocket = await websockets.connect(
        server.url(),
        origin="https://a.example",
        subprotocols=["v1", "v2"],
        additional_headers=[("X-A", "1"), ("X-B", "2")],
        user_agent_header="mine",
    )
    assert websocket.subprotocol == "v2"
    sent = server.peer.headers
    assert (sent["x-a"], sent["x-b"], sent["user-agent"]) == ("1", "2", "mine")
    assert sent["origin"] == "https://a.example"
    await websocket.close(4000, "enough")
    assert server.peer.close_received == (4000, "enough")
    await websocket.wait_closed()


# How a connection ends.


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_a_goodbye_ends_the_iteration(
    server: ScriptedServer, code: int | None
) -> None:
    async def say_goodbye(peer: Peer) -> None:
        await peer.accept()
        await peer.send("1", "2")
        await peer.close(code)

    server.play(say_goodbye)
    websocket = await websockets.connect(server.url())
    assert [message async for message in websocket] == ["1", "2"]
    assert websocket.close_code == (code or 1005)
    with pytest.raises(ConnectionClosedOK) as caught:
        await websocket.recv()
    assert caught.value.rcvd_then_sent
    with pytest.raises(ConnectionClosed):
        await websocket.send("too late")
    await websocket.close()


async def test_any_other_end_is_an_error(server: ScriptedServer) -> None:
    server.play(closing(4001, "why"), resetting(), black_hole)
    async with websockets.connect(server.url()) as websocket:
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "why")
        assert (websocket.close_code, websocket.close_reason) == (4001, "why")
    async with websockets.connect(server.url()) as websocket:
        with pytest.raises(ConnectionClosedError) as caught:
            async for _ in websocket:
                pass
        assert caught.value.rcvd is None
        assert websocket.close_code == 1006
    async with websockets.connect(
        server.url(), ping_interval=2, ping_timeout=3
    ) as websocket:
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.recv()
        assert isinstance(caught.value.__cause__, LivenessTimeout)


async def test_one_receiver_at_a_time(server: ScriptedServer) -> None:
    async with websockets.connect(server.url()) as websocket:
        reader = asyncio.create_task(websocket.recv())
        await asyncio.sleep(1)
        with pytest.raises(ConcurrencyError):
            await websocket.recv()
        await websocket.close()
        with pytest.raises(ConnectionClosedOK):
            await reader


async def test_cancelling_recv_loses_nothing(server: ScriptedServer) -> None:
    websocket = await websockets.connect(server.url())
    got: list[Any] = []
    for number in range(1_000):
        waiting = asyncio.create_task(websocket.recv())
        sending = asyncio.create_task(server.peer.send(str(number)))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got.append(await waiting)
        await sending
    while len(got) < 1_000:
        got.append(await websocket.recv())
    assert got == [str(number) for number in range(1_000)]
    await websocket.close()


# Dialling.


async def test_iterating_reconnects_at_the_pace_of_the_policy(
    server: ScriptedServer,
) -> None:
    server.play(closing(1000))
    began = now()
    async for websocket in websockets.connect(server.url()):
        async for _ in websocket:
            pass
        if now() - began > 600:
            break
    # Full jitter up to 60 s: 30 s on average, after the first few. Measured of the
    # library itself in its place: 1,300 a second.
    assert 10 <= len(server.dials) <= 60


async def test_each_connection_of_the_iteration_is_closed(
    server: ScriptedServer,
) -> None:
    number = 0
    async for websocket in websockets.connect(server.url()):
        await websocket.send(str(number))
        number += 1
        if number < 3:
            continue
        break
    await asyncio.sleep(1)
    assert server.received == ["0", "1", "2"]
    assert [peer.close_received for peer in server.peers][:2] == [(1000, "")] * 2


async def test_what_is_transient_is_tried_again(server: ScriptedServer) -> None:
    server.play(rejecting(503), rejecting(502), hold)
    async for websocket in websockets.connect(server.url()):
        await websocket.close()
        break
    assert len(server.dials) == 3


async def test_what_is_fatal_is_raised(server: ScriptedServer) -> None:
    server.play(rejecting(404))
    with pytest.raises(InvalidStatus) as caught:
        async for _ in websockets.connect(server.url()):
            pass
    assert caught.value.response.status_code == 404
    assert len(server.dials) == 1


async def test_the_program_may_say_what_is_fatal(server: ScriptedServer) -> None:
    server.play(rejecting(404), rejecting(503))

    def judge(failure: Exception) -> Exception | None:
        assert isinstance(failure, InvalidStatus)
        if failure.response.status_code == 404:
            return None
        return LookupError("fatal")

    with pytest.raises(LookupError) as caught:
        async for _ in websockets.connect(server.url(), process_exception=judge):
            pass
    assert isinstance(caught.value.__cause__, InvalidStatus)


async def test_the_program_may_say_how_long_to_wait(server: ScriptedServer) -> None:
    server.play(rejecting(503), rejecting(503), rejecting(503), hold)

    def delays() -> Iterator[float]:
        return itertools.count(2.0, 1.0)

    async for _ in websockets.connect(server.url(), reconnect_delays=delays):
        break
    await asyncio.sleep(1)
    gaps = [b - a for a, b in itertools.pairwise(server.dials)]
    assert gaps == pytest.approx([2, 3, 4], abs=0.1)


async def test_failures(server: ScriptedServer) -> None:
    server.play(hang)
    with pytest.raises(TimeoutError):
        await websockets.connect(server.url(), open_timeout=3)
    async with ScriptedServer() as gone:
        port = gone.port
    with pytest.raises(ConnectionRefusedError):
        await websockets.connect(f"ws://127.0.0.1:{port}/")
    with pytest.raises(InvalidURI):
        await websockets.connect("http://example.com/")
    strict = Access(allowed_hosts=["example.com"])
    with pytest.raises(original.exceptions.InvalidHandshake):
        await websockets.connect(server.url(), access=strict)


@pytest.mark.parametrize(
    "wrong", [{"sock": 1}, {"host": "a"}, {"extensions": []}, {"server_hostname": "a"}]
)
def test_what_a_session_cannot_do_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        _ = websockets.connect("ws://localhost/", **wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"additional_headers": {"Authorization": "s3cret\r\n"}}, "Authorization"),
        ({"additional_headers": {"Authorization": b"s3cret"}}, "Authorization"),
        ({"additional_headers": "Authorization: s3cret"}, "additional_headers"),
        ({"additional_headers": [("A", "s3cret", "b")]}, "additional_headers"),
        ({"subprotocols": "v1"}, "subprotocols"),
        ({"subprotocols": 1}, "subprotocols"),
    ],
)
async def test_what_is_wrong_is_named_and_no_secret_told(
    server: ScriptedServer, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=told) as caught:
        await websockets.connect(server.url(), **wrong)
    assert "s3cret" not in "".join(traceback.format_exception_only(caught.value))
    assert server.dials == []


async def test_its_own_policy(server: ScriptedServer) -> None:
    server.play(rejecting(503), hold)
    slow = Reconnect(wait=lambda _: 7.0)
    async for _ in websockets.connect(server.url(), reconnect=slow):
        break
    await asyncio.sleep(1)
    assert server.dials[1] - server.dials[0] == pytest.approx(7, abs=0.1)


async def test_it_is_entered_once(server: ScriptedServer) -> None:
    connecting = websockets.connect(server.url())
    async with connecting:
        with pytest.raises(RuntimeError, match="reentrant"):
            await connecting.__aenter__()
