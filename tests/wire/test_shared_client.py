"""Sessions of one loop dial with one aiohttp client, and see nothing of each other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from resilient_ws import (
    Access,
    ConnectionDropped,
    ConnectionOpened,
    SecurityError,
    connect,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import hold
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import BOTH_LOOPS, SOON, watched


if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.wire

PUBLIC = Access(allow_private=False, allow_insecure=True)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every aiohttp client that is made, weakly."""
    made: list[Any] = []
    original = aiohttp.ClientSession.__init__

    def noted(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        made.append(weakref.ref(self))
        original(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", noted)
    yield made
    gc.collect()
    assert not [client for client in made if client() is not None]


@BOTH_LOOPS
async def test_one_client_serves_all_and_ends_with_the_last(clients: list[Any]) -> None:
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        async with connect(server.url()) as last:
            async with connect(server.url()), connect(server.url("/other")):
                pass
            [client] = clients
            assert not client().closed
            last.reconnect("a dial after the others have left")
            async with connect(server.url()):
                assert len(clients) == 1
        async with connect(server.url()):
            assert len(clients) == 2


def open_and_close(url: str) -> None:
    async def once() -> None:
        async with connect(url):
            pass

    asyncio.run(once())


async def test_each_loop_has_its_own(clients: list[Any]) -> None:
    async with ScriptedServer(hold) as server, connect(server.url()):
        threads = [
            threading.Thread(target=open_and_close, args=[server.url()])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert len(clients) == 5


async def refused(url: str) -> None:
    with pytest.raises(SecurityError, match=r"127\.0\.0\.1"):
        async with connect(url, access=PUBLIC, wait_open=SOON):
            pytest.fail("it opened")


async def test_each_dial_is_vetted_by_its_own_session(
    monkeypatch: pytest.MonkeyPatch, clients: list[Any]
) -> None:
    """Dials under way at one time, to one address, some of which may not."""

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for _ in range(20):
                allowed = connect(f"ws://localhost:{server.port}/")
                group.create_task(stack.enter_async_context(allowed))
                group.create_task(refused(f"ws://feed.example.com:{server.port}/"))
        assert len(server.requests) == 20
    assert len(clients) == 1


def sets_a_cookie(peer: Peer) -> None:
    """Name the connection by its path; redirect ``/from`` with a cookie as well."""
    path = peer.read_request().target
    headers = [("Set-Cookie", f"at{path[1:]}=here; Path=/")]
    if path == "/from":
        peer.answer("302 Found", {"Location": "/to", **dict(headers)})
        return
    headers += [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", peer.accept_key),
    ]
    peer.respond(headers)
    peer.receive()


async def test_cookies_last_as_long_as_a_session_and_stay_in_it() -> None:
    async with assert_no_leaks(), RawServer(sets_a_cookie) as server:
        url = f"ws://localhost:{server.port}"
        own = {"Cookie": "mine=1"}
        async with watched(f"{url}/from", headers=own) as (session, witness):
            await session.send("end")
            await witness.until(ConnectionDropped)
            async with connect(f"{url}/another"):
                pass
            await witness.until(ConnectionOpened, count=2)
        sent = {
            request.target: set(request.headers.get("cookie", "").split("; "))
            for request in server.requests[:2]
        }
        assert sent == {"/from": {"mine=1"}, "/to": {"mine=1", "atfrom=here"}}
        again = [r.headers.get("cookie", "") for r in server.requests[2:]]
        others = [r for r in server.requests if r.target == "/another"]
        assert [r.headers.get("cookie") for r in others] == [None]
        assert any("atto=here" in cookie for cookie in again)
