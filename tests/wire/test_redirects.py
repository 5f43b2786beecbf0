"""Where a handshake may be led, and what goes along."""

from __future__ import annotations

import asyncio
import socket
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import pytest

from resilient_ws import Access, Connection, ConnectionOpened, SecurityError, connect
from resilient_ws.testing import assert_no_leaks
from tests.wire.outcome import outcome_of
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import SOON, soon, watched


if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

CREDENTIALS = {
    "Authorization": "Bearer planted",
    "Cookie": "id=planted",
    "X-Api-Key": "planted",
}


def leads_to(where: Callable[[str], str | None]) -> Callable[[Peer], None]:
    """A script that redirects a target to where it leads, and echoes at the end."""

    def script(peer: Peer) -> None:
        location = where(peer.read_request().target)
        if location is None:
            peer.agree()
            peer.echo()
        else:
            peer.answer("302 Found", {"Location": location})

    return script


def echoes(peer: Peer) -> None:
    peer.accept()
    peer.echo()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_follows_to_the_end(any_server: ServerProcess, status: int) -> None:
    query = urllib.parse.urlencode({"status": status, "location": "/echo?at=end"})
    url = f"{any_server.url}/refuse?{query}"
    async with assert_no_leaks(), watched(url, headers=CREDENTIALS) as (session, _):
        await session.send("arrived")
        assert await soon(session) == "arrived"
    # Within one origin credentials go along.
    [opened] = await any_server.logged("open", path="/echo?at=end")
    assert opened["headers"]["authorization"] == "Bearer planted"
    assert opened["headers"]["cookie"] == "id=planted"


async def refused(url: str, **options: Any) -> SecurityError:
    """The refusal that entering a session ends with."""
    with pytest.raises(SecurityError) as caught:
        async with connect(url, wait_open=SOON, **options):
            pytest.fail("it opened")
    return caught.value


@pytest.mark.parametrize(
    ("where", "dials"),
    [
        pytest.param(lambda target: target, 1, id="to itself"),
        pytest.param({"/": "/a", "/a": "/b", "/b": "/"}.get, 3, id="round three"),
    ],
)
async def test_a_circle_is_refused(
    where: Callable[[str], str | None], dials: int
) -> None:
    async with assert_no_leaks(), RawServer(leads_to(where)) as server:
        error = await refused(server.url)
        assert "circle" in str(error)
        assert len(server.requests) == dials


async def test_too_many_are_refused() -> None:
    def onwards(target: str) -> str:
        return f"/{int(target.strip('/') or 0) + 1}"

    async with assert_no_leaks(), RawServer(leads_to(onwards)) as server:
        error = await refused(server.url, access=Access(max_redirects=3))
        assert "max_redirects (3)" in str(error)
        targets = [request.target for request in server.requests]
        assert targets == ["/", "/1", "/2", "/3"]


async def test_none_is_followed_when_none_is_allowed() -> None:
    async with assert_no_leaks(), RawServer(leads_to(lambda _: "/a")) as server:
        await refused(server.url, access=Access(max_redirects=0))
        assert len(server.requests) == 1


async def test_encryption_is_not_given_up(authority: trustme.CA) -> None:
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    async with assert_no_leaks(), RawServer(echoes) as plain:
        for location in (plain.url, plain.url.replace("ws:", "http:")):
            script = leads_to({"/": location}.get)
            async with RawServer(script, tls=server_tls) as secure:
                error = await refused(secure.url, ssl=client_tls)
                assert "encryption" in str(error)
                assert len(secure.requests) == 1
        assert plain.accepted == 0


async def test_another_origin_is_refused_by_default() -> None:
    """The login, ``on_open``'s messages and the outbox would go there."""
    async with (
        assert_no_leaks(),
        RawServer(echoes) as other,
        RawServer(leads_to(lambda _: f"{other.url}/there?token=planted")) as first,
    ):
        error = await refused(first.url, subprotocols=["token.planted"])
        assert "another origin" in str(error)
        assert "allow_redirects='any'" in str(error)
        assert "planted" not in str(error)
        assert other.accepted == 0


async def test_no_redirect_is_followed_where_none_is_wanted() -> None:
    async with (
        assert_no_leaks(),
        RawServer(leads_to({"/": "/there"}.get)) as server,
    ):
        error = await refused(server.url, access=Access(allow_redirects="none"))
        assert "allow_redirects='none'" in str(error)
        assert len(server.requests) == 1


async def test_credentials_stay_within_their_origin() -> None:
    def selects(peer: Peer) -> None:
        request = peer.read_request()
        assert "sec-websocket-protocol" not in request.headers
        peer.agree()
        peer.echo()

    restored: list[str] = []

    async def on_open(connection: Connection) -> None:
        restored.append(connection.endpoint)

    async with (
        assert_no_leaks(),
        RawServer(selects) as other,
        RawServer(leads_to(lambda _: f"{other.url}/there")) as first,
        watched(
            first.url.replace("://", "://user:planted@"),
            headers={"Cookie": "id=planted", "X-Api-Key": "planted"},
            subprotocols=["chat", "token.planted"],
            origin="https://planted.example",
            access=Access(allow_redirects="any"),
            on_open=on_open,
        ) as (session, seen),
    ):
        await session.send("arrived")
        assert await soon(session) == "arrived"
        [asked], [reached] = first.requests, other.requests
        assert asked.headers["authorization"].startswith("Basic ")
        assert asked.headers["x-api-key"] == "planted"
        assert "token.planted" in asked.headers["sec-websocket-protocol"]
        assert reached.target == "/there"
        assert not {"authorization", "cookie", "x-api-key"} & set(reached.headers)
        assert "planted" not in repr(reached)
        # The handshake itself is whole.
        assert reached.headers["sec-websocket-version"] == "13"
        # What is told is where it is, not where it was sent to.
        [opened] = await seen.until(ConnectionOpened)
        assert opened.endpoint == f"{other.url}/there"
        assert restored == [f"{other.url}/there"]
        assert session.subprotocol is None


async def test_a_redirect_that_fails_there_names_where_it_was_led(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuses(peer: Peer) -> None:
        peer.read_request()
        peer.answer("503 Service Unavailable")

    async with (
        assert_no_leaks(),
        RawServer(refuses) as other,
        RawServer(leads_to(lambda _: f"{other.url}/there")) as first,
    ):
        access = Access(allow_redirects="any")
        ended = await outcome_of(first.url, caplog, access=access)
        assert f"{other.url}/there" in str(ended.root)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("rule", ["same-origin", "any"])
async def test_a_url_that_never_ends_is_not_followed(
    status: int, rule: Literal["same-origin", "any"]
) -> None:
    """Nor told: errors are remembered."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.answer(f"{status} Over there", {"Location": "/" + "a" * 100_000})

    async with assert_no_leaks(), RawServer(script) as server:
        error = await refused(server.url, access=Access(allow_redirects=rule))
        assert "100,001 characters" in str(error)
        assert len(str(error)) < 300


async def test_a_borrowed_client_is_never_led_to_another_origin() -> None:
    async with (
        assert_no_leaks(),
        RawServer(echoes) as other,
        RawServer(leads_to(lambda _: other.url)) as first,
        aiohttp.ClientSession(headers=CREDENTIALS) as http,
    ):
        access = Access(allow_redirects="any")
        error = await refused(first.url, http=http, access=access)
        assert "http=" in str(error)
        assert other.accepted == 0
        assert not http.closed


async def test_a_borrowed_client_is_never_closed(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), aiohttp.ClientSession(headers=CREDENTIALS) as http:
        for text in ("one", "two"):
            async with watched(f"{any_server.url}/echo", http=http) as (session, _):
                await session.send(text)
                assert await soon(session) == text
            assert not http.closed
    for opened in await any_server.logged("open", count=2):
        assert opened["headers"]["authorization"] == "Bearer planted"


async def test_a_borrowed_client_brings_its_own_rules_and_they_do_not_count() -> None:
    """Its time-out, redirects and raise_for_status are ours to decide."""
    where = {"/": "/end"}.get
    timeout = aiohttp.ClientTimeout(total=0.2, sock_read=0.2)
    async with (
        assert_no_leaks(),
        RawServer(leads_to(where)) as server,
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http,
        watched(server.url, http=http) as (session, _),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.receive()
        await session.send("still here")
        assert await soon(session) == "still here"
        assert session.epoch == 1


# Access.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "localhost",
        "LOCALHOST.",
        "sub.localhost",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00::1]",
    ],
)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_private_address_is_refused_before_anything_starts(
    scheme: str, host: str
) -> None:
    access = Access(allow_private=False, allow_insecure=True)
    with pytest.raises(SecurityError):
        connect(f"{scheme}://{host}:8443/", access=access)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254"])
async def test_a_name_that_leads_to_a_private_address_is_never_dialled(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    async with assert_no_leaks(), RawServer(echoes) as server:

        def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            names.append(host)
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (address, port))]

        names: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        access = Access(allow_private=False, allow_insecure=True)
        url = f"ws://feed.example.com:{server.port}/"
        error = await refused(url, access=access)
        assert address in str(error)
        assert names == ["feed.example.com"]
        assert server.accepted == 0


async def test_plain_ws_to_a_name_that_is_not_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``localhost`` is what the resolver says: trust is in the address."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    found = [(*kind, ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    async with assert_no_leaks():
        error = await refused("ws://localhost:8080/")
        assert "192.0.2.1" in str(error)


async def test_lent_clients_cannot_be_vetted() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(ValueError, match="allow_private"):
            connect("wss://example.com", http=http, access=Access(allow_private=False))
