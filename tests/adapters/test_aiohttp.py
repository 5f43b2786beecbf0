"""What a library sees that was given ``resilient(client)``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSMsgType

import resilient_ws
from resilient_ws import Liveness, Reconnect
from resilient_ws.adapters.aiohttp import resilient
from resilient_ws.testing import FaultProxy, Hang, ScriptedServer
from resilient_ws.testing.scripts import (
    black_hole,
    closing,
    echo,
    feeding,
    hang,
    hold,
    rejecting,
    resetting,
)


if TYPE_CHECKING:
    import ssl

    from resilient_ws.testing import Peer


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_it_passes_for_the_client_it_stands_for(
    http: aiohttp.ClientSession,
) -> None:
    ours = resilient(http)
    assert isinstance(ours, aiohttp.ClientSession)
    assert ours.headers is http.headers
    assert ours.cookie_jar is http.cookie_jar
    assert not ours.closed


async def test_only_a_client_is_taken() -> None:
    with pytest.raises(TypeError, match=r"client must be an aiohttp\.ClientSession"):
        resilient("http://example.com")  # type: ignore[arg-type]


async def test_messages_go_both_ways(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(echo)
    async with resilient(http).ws_connect(server.url("/x"), params={"a": "1"}) as ws:
        await ws.send_str("text")
        assert await ws.receive_str() == "text"
        await ws.send_bytes(b"bytes")
        assert await ws.receive_bytes() == b"bytes"
        await ws.send_json({"n": 1})
        assert await ws.receive_json() == {"n": 1}
        await ws.send_str("typed")
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.TEXT, "typed")
        with pytest.raises(TimeoutError):
            await ws.receive(timeout=5)
        await ws.send_bytes(b"wrong")
        with pytest.raises(TypeError):
            await ws.receive_str()
    assert server.peer.path == "/x?a=1"
    assert server.peer.headers["x-own"] == "yes"
    assert ws.closed
    assert ws.close_code == 1000


async def test_http_urls_and_the_handshake_headers_of_a_library(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    async def agree(peer: Peer) -> None:
        await peer.accept(subprotocol="v2")
        await peer.ended()

    server.play(agree)
    headers = {"Origin": "https://a.example", "Sec-WebSocket-Protocol": "v1, v2"}
    url = server.url().replace("ws://", "http://")
    ws = await resilient(http).ws_connect(url, headers=headers)
    assert ws.protocol == "v2"
    assert server.peer.headers["origin"] == "https://a.example"
    await ws.close()


async def test_text_may_come_as_bytes(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(feeding("é"))
    async with resilient(http).ws_connect(server.url(), decode_text=False) as ws:
        message = await ws.receive()
        assert message.data == "é".encode()


# How a connection ends.


@pytest.mark.parametrize(("code", "told"), [(1000, 1000), (4001, 4001), (None, 0)])
async def test_a_close_of_the_server_is_told_behind_the_messages(
    server: ScriptedServer,
    http: aiohttp.ClientSession,
    code: int | None,
    told: int,
) -> None:
    async def say_goodbye(peer: Peer) -> None:
        await peer.accept()
        await peer.send("1", "2")
        await peer.close(code, "bye" if code else "")

    server.play(say_goodbye)
    ws = await resilient(http).ws_connect(server.url())
    await asyncio.sleep(1)
    # The end is known, and not told yet: nothing would be read otherwise.
    closed = [ws.closed]
    got = [await ws.receive() for _ in range(4)]
    assert [message.type for message in got] == [
        WSMsgType.TEXT,
        WSMsgType.TEXT,
        WSMsgType.CLOSE,
        WSMsgType.CLOSED,
    ]
    assert got[2].data == told
    assert ws.close_code == told
    closed.append(ws.closed)
    assert closed == [False, True]
    with pytest.raises(aiohttp.ClientConnectionResetError):
        await ws.send_str("too late")
    assert not await ws.close()


async def test_a_reset_ends_the_iteration(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(resetting(after=1))
    ws = await resilient(http).ws_connect(server.url())
    assert [message async for message in ws] == []
    assert ws.close_code == 1006
    assert isinstance(ws.exception(), aiohttp.ClientConnectionResetError)


async def test_silence_is_an_error_message(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(black_hole)
    ws = await resilient(http).ws_connect(server.url(), heartbeat=4)
    began = now()
    message = await ws.receive()
    assert message.type is WSMsgType.ERROR
    assert isinstance(message.data, aiohttp.ServerTimeoutError)
    assert now() - began == pytest.approx(6, abs=0.5)
    assert ws.closed


async def test_a_library_that_never_pings_notices_silence(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(black_hole)
    quick = Liveness(ping_interval=3, ping_timeout=2)
    ws = await resilient(http, liveness=quick).ws_connect(server.url(), heartbeat=55)
    began = now()
    assert (await ws.receive()).type is WSMsgType.ERROR
    assert now() - began == pytest.approx(5, abs=0.5)


async def test_a_close_of_the_library_wakes_its_reader(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    ws = await resilient(http).ws_connect(server.url())
    reader = asyncio.create_task(ws.receive())
    await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="Concurrent call"):
        await ws.receive()
    assert await ws.close(code=4000, message=b"enough")
    assert (await reader).type is WSMsgType.CLOSING
    assert (await ws.receive()).type is WSMsgType.CLOSED
    assert server.peer.close_received == (4000, "enough")


async def test_cancelling_receive_loses_nothing(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    ws = await resilient(http).ws_connect(server.url())
    got = []
    for number in range(1_000):
        waiting = asyncio.create_task(ws.receive())
        if number % 3 == 0:
            await asyncio.sleep(0)
        sending = asyncio.create_task(server.peer.send(str(number)))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got.append((await waiting).data)
        await sending
    while len(got) < 1_000:
        got.append((await ws.receive(5)).data)
    assert got == [str(number) for number in range(1_000)]
    await ws.close()


# Pings.


async def test_without_autoping_the_library_sees_its_pongs(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    ws = await resilient(http).ws_connect(server.url(), autoping=False)
    reader = asyncio.create_task(ws.receive())
    await asyncio.sleep(1)
    await ws.ping(b"mine")
    pong = await reader
    assert (pong.type, pong.data) == (WSMsgType.PONG, b"mine")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await ws.receive(1)
    await server.peer.send("kept")
    assert (await ws.receive()).data == "kept"
    # The server's own are answered, though the library would not.
    await server.peer.ping(b"yours")
    await ws.close()


# Dialling.


@pytest.mark.parametrize("script", [closing(1000), closing(4001), resetting()])
async def test_a_hot_loop_of_the_library_is_none_of_ours(
    server: ScriptedServer, http: aiohttp.ClientSession, script: Any
) -> None:
    server.play(script)
    client, until = resilient(http), now() + 600
    while now() < until:
        ws = await client.ws_connect(f"{server.url()}?at={now()}")
        async for _ in ws:
            pass
    # Full jitter up to 60 s: 30 s on average, after the first few.
    assert 10 <= len(server.dials) <= 60


async def test_so_is_one_that_closes_what_it_opened(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    client, until = resilient(http), now() + 10
    while now() < until:
        await (await client.ws_connect(server.url())).close()
    assert len(server.dials) <= 52


async def test_many_that_are_well_need_not_wait(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    client, began = resilient(http), now()
    sockets = [await client.ws_connect(server.url()) for _ in range(50)]
    assert now() - began < 0.1
    for ws in sockets:
        await ws.close()


async def test_a_hundred_that_are_dropped_together_come_back_soon(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    client = resilient(http)
    sockets = [await client.ws_connect(server.url()) for _ in range(100)]
    await asyncio.sleep(20)
    for peer in tuple(server.peers):
        await peer.drop()
    for ws in sockets:
        assert (await ws.receive()).type is WSMsgType.CLOSED
    began = now()
    first = await client.ws_connect(server.url())
    # As after one failure: up to a second.
    assert now() - began < 1.1
    await first.close()


async def test_a_stable_connection_ends_the_outage(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(rejecting(503), rejecting(503), rejecting(503), hold)
    client = resilient(http, reconnect=Reconnect(stable_after=5))
    for _ in range(3):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect(server.url())
    first = await client.ws_connect(server.url())
    await asyncio.sleep(6)
    began = now()
    second = await client.ws_connect(server.url())
    assert now() - began < 0.1
    await first.close()
    await second.close()


async def test_a_refused_handshake(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(rejecting(401))
    url = server.url("/feed?token=hunter2").replace("//", "//me:hunter2@")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await resilient(http).ws_connect(url)
    assert caught.value.status == 401
    assert "hunter2" not in f"{caught.value!s} {caught.value!r}"


async def test_nobody_listens(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as gone:
        port = gone.port
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await resilient(http).ws_connect(f"ws://127.0.0.1:{port}/")
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_no_answer_in_time(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.play(hang)
    client = resilient(http, timeouts=resilient_ws.Timeouts(open=3))
    with pytest.raises(aiohttp.ServerTimeoutError):
        await client.ws_connect(server.url())


async def test_a_cancelled_dial_leaves_nothing(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.apply(Hang())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await resilient(http).ws_connect(proxy.url())


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"method": "POST"}, "method"),
        ({"server_hostname": "other"}, "server_hostname"),
        ({"proxy_headers": {"A": "b"}}, "proxy_headers"),
        ({"ssl": aiohttp.Fingerprint(bytes(32))}, "fingerprints"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_a_session_cannot_do_is_refused(
    server: ScriptedServer,
    http: aiohttp.ClientSession,
    asked: dict[str, Any],
    named: str,
) -> None:
    with pytest.raises(ValueError, match=named):
        await resilient(http).ws_connect(server.url(), **asked)
    assert server.dials == []


async def test_a_word_is_no_list_of_protocols(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(TypeError, match="subprotocols must be a sequence of str"):
        await resilient(http).ws_connect(server.url(), protocols="v1")
    assert server.dials == []


async def test_certificates_are_not_checked_where_the_library_says_so(
    http: aiohttp.ClientSession, wrong_tls: ssl.SSLContext
) -> None:
    async with ScriptedServer(echo, ssl=wrong_tls) as server:
        client = resilient(http)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.ws_connect(server.url())
        async with client.ws_connect(server.url(), ssl=False) as ws:
            await ws.send_str("x")
            assert await ws.receive_str() == "x"


# Ends.


async def test_closing_it_closes_the_sockets_and_the_client(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    async with resilient(http) as client:
        ws = await client.ws_connect(server.url())
    assert ws.closed
    assert http.closed
    assert server.peer.close_received == (1001, "")


async def test_a_closed_client_dials_no_more(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    client = resilient(http)
    await http.close()
    assert client.closed
    with pytest.raises(RuntimeError, match="Session is closed"):
        await client.ws_connect(server.url())


async def test_a_socket_that_is_dropped_ends(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    ws = await resilient(http).ws_connect(server.url())
    peer = server.peer
    with pytest.warns(ResourceWarning, match="dropped without close"):
        del ws
    await peer.ended()
