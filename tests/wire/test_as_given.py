"""What the user gave is what goes on the wire: target, host, cookies."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from resilient_ws import Access, ConnectionOpened, SecurityError, connect
from resilient_ws.testing import assert_no_leaks
from tests.servers.process import HOST, daemon, missing, output_of
from tests.servers.proxies import Dante, Microsocks, Proxy, Squid, Tinyproxy
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import BOTH_LOOPS, SOON, eventually, watched


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trustme


pytestmark = pytest.mark.wire

INSECURE: Final = Access(allow_insecure=True)

#: What follows host and port in a URL, and the target of the request.
TARGETS: Final = {
    "": "/",
    "?": "/?",
    "/a?": "/a?",
    "?x=1": "/?x=1",
    "/a/../b%7E?k=A%2FB&t=x%3Ay%21": None,
    "/./%2e%2E/a//b/..;p=1;?;": None,
    "//a": None,
    "/%zz%": None,
    "/a+b%20c?d+e=%2B&&=": None,
    '/{"a":[1]}?^`<b>|': None,
    "/ä%C3%A4?ö=%E4": "/%C3%A4%C3%A4?%C3%B6=%E4",
}
GIVEN: Final = "/a/../b%7E//c;?k=A%2FB&t=x%3Ay%21&u=%zz&v=[]"


def answers(peer: Peer) -> None:
    peer.accept()
    peer.echo()


async def target_of(server: RawServer, url: str, **options: Any) -> str:
    """The request line's target for a URL, and nothing else that was asked."""
    asked = len(server.requests)
    async with connect(url, wait_open=SOON, **options):
        pass
    (request,) = server.requests[asked:]
    return request.target


@BOTH_LOOPS
async def test_the_target_goes_out_byte_for_byte() -> None:
    async with assert_no_leaks(), RawServer(answers) as server:
        for behind, target in TARGETS.items():
            url = f"{server.url}{behind}"
            assert await target_of(server, url) == (target or behind)


async def test_the_target_goes_out_byte_for_byte_from_a_borrowed_client() -> None:
    async with (
        assert_no_leaks(),
        RawServer(answers) as server,
        aiohttp.ClientSession() as http,
    ):
        for behind, target in TARGETS.items():
            url = f"{server.url}{behind}"
            assert await target_of(server, url, http=http) == (target or behind)


def with_tls(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server that has a certificate for a name, and of its client."""
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    return server_tls, client_tls


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize(
    ("make", "scheme"),
    [
        (Squid, "http"),
        (Tinyproxy, "http"),
        (Dante, "socks4"),
        (Dante, "socks5"),
        (Microsocks, "socks5h"),
    ],
)
async def test_the_target_goes_out_byte_for_byte_through_a_proxy(
    make: Callable[..., Proxy],
    scheme: str,
    tls: bool,
    tmp_path: Path,
    authority: trustme.CA,
) -> None:
    server_tls, client_tls = with_tls(authority, HOST)
    async with (
        assert_no_leaks(),
        RawServer(answers, tls=server_tls if tls else None) as server,
        make(tmp_path) as proxy,
    ):
        through = proxy.proxy_url(scheme=scheme)
        options = {"proxy": through, "ssl": client_tls, "access": INSECURE}
        assert await target_of(server, f"{server.url}{GIVEN}", **options) == GIVEN
        if tls and scheme == "http":
            async with aiohttp.ClientSession() as http:
                options["http"] = http
                url = f"{server.url}{GIVEN}"
                assert await target_of(server, url, **options) == GIVEN


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("../x%2Fy;?k=A%2FB&t=x%3Ay%21", "/x%2Fy;?k=A%2FB&t=x%3Ay%21"),
        ("?", "/a/b?"),
        ("/%zz//{}?a=b?c", None),
        ("/c/./../d%7E?%2e", "/d%7E?%2e"),
        ("{}/%2E%2e/b%7E?k=A%2FB#part", "/%2E%2e/b%7E?k=A%2FB"),
        ("/ä", "/%C3%A4"),
    ],
)
@pytest.mark.parametrize("borrowed", [False, True], ids=["ours", "borrowed"])
async def test_a_location_is_resolved_and_otherwise_left_as_it_is(
    location: str, target: str | None, borrowed: bool
) -> None:
    def leads(peer: Peer) -> None:
        if peer.read_request().target == "/a/b?c":
            where = (
                location.replace("{}", server.url) if "%2E" in location else location
            )
            peer.sock.sendall(
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
                + where.encode()
                + b"\r\n\r\n"
            )
        else:
            peer.agree()
            peer.echo()

    async with (
        assert_no_leaks(),
        RawServer(leads) as server,
        aiohttp.ClientSession() as http,
        connect(f"{server.url}/a/b?c", http=http if borrowed else None, wait_open=SOON),
    ):
        assert [request.target for request in server.requests] == [
            "/a/b?c",
            location if target is None else target,
        ]


# The host.


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name leads to this machine; what was looked up."""
    asked: list[str] = []

    def resolve(host: str, port: int | None, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (HOST, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize(
    ("host", "asked", "told"),
    [
        ("faß.example", "xn--fa-hia.example", "xn--fa-hia.example"),
        ("EXAMPLE.com.", "example.com.", "example.com"),
        ("faß.example.", "xn--fa-hia.example.", "xn--fa-hia.example"),
        ("feed.example", "feed.example", "feed.example"),
    ],
)
@pytest.mark.parametrize("borrowed", [False, True], ids=["ours", "borrowed"])
async def test_a_name_is_looked_up_as_it_was_given_and_told_without_its_dot(
    host: str, asked: str, told: str, borrowed: bool, names: list[str]
) -> None:
    async with (
        assert_no_leaks(),
        RawServer(answers) as server,
        aiohttp.ClientSession() as http,
        connect(
            f"ws://{host}:{server.port}",
            access=INSECURE,
            http=http if borrowed else None,
            wait_open=SOON,
        ),
    ):
        assert names == [asked]
        assert server.requests[0].headers["host"] == f"{told}:{server.port}"


@pytest.mark.parametrize("way", ["direct", "borrowed", "http", "socks5"])
async def test_a_certificate_is_for_the_name_without_its_dot(
    way: str, tmp_path: Path, authority: trustme.CA, names: list[str]
) -> None:
    """SNI has no dot (RFC 6066, section 3), nor have certificates."""
    server_tls, client_tls = with_tls(authority, "feed.example")
    shown: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: shown.append(name)
    async with (
        assert_no_leaks(),
        RawServer(answers, tls=server_tls) as server,
        aiohttp.ClientSession() as http,
        RawServer(tunnels_to(lambda: server.port)) as tunnel,
        Microsocks(tmp_path) as socks,
    ):
        ways: dict[str, dict[str, Any]] = {
            "direct": {},
            "borrowed": {"http": http},
            "http": {"proxy": f"http://{HOST}:{tunnel.port}"},
            "socks5": {"proxy": socks.proxy_url(scheme="socks5")},
        }
        options = ways[way]
        url = f"wss://feed.example.:{server.port}"
        async with connect(url, ssl=client_tls, wait_open=SOON, **options):
            pass
        assert shown == ["feed.example"]
        if way == "http":
            assert tunnel.requests[0].target == f"feed.example.:{server.port}"
        else:
            assert names.count("feed.example.") == 1


def tunnels_to(port: Callable[[], int]) -> Callable[[Peer], None]:
    """Be a proxy that connects to a port of this machine, whatever it is asked."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection((HOST, port())) as onward:
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(relay(peer.sock, onward))
            finally:
                loop.close()

    return script


async def relay(one: socket.socket, other: socket.socket) -> None:
    loop = asyncio.get_running_loop()

    async def copy(source: socket.socket, sink: socket.socket) -> None:
        while data := await loop.sock_recv(source, 2**16):
            await loop.sock_sendall(sink, data)

    for end in (one, other):
        end.setblocking(False)
    ways = [loop.create_task(copy(*way)) for way in ((one, other), (other, one))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "127.0.0.0x1", "0x7f.1."],
)
@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9", "socks5h://127.0.0.1:9"])
def test_what_only_some_read_as_an_address_is_refused_by_connect(
    host: str, proxy: str | None
) -> None:
    for scheme in ("ws", "wss"):
        with pytest.raises(ValueError, match="four decimal parts"):
            connect(f"{scheme}://{host}/", proxy=proxy, access=INSECURE)


@pytest.mark.parametrize("host", ["[fec0::1]", "[64:ff9b:1::1]", "[3fff::1]"])
def test_addresses_that_are_not_public_and_hardly_known(host: str) -> None:
    for proxy in (None, "http://127.0.0.1:9", "socks5://127.0.0.1:9"):
        with pytest.raises(SecurityError, match="not a public address"):
            connect(f"wss://{host}/", proxy=proxy, access=Access(allow_private=False))


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
async def test_what_is_resolved_for_a_proxy_is_vetted(
    scheme: str, tmp_path: Path, names: list[str]
) -> None:
    access = Access(allow_private=False, allow_insecure=True)
    async with (
        assert_no_leaks(),
        RawServer(answers) as server,
        Microsocks(tmp_path) as proxy,
    ):
        through = proxy.proxy_url(scheme=scheme)
        for url in ("ws://feed.example", "wss://feed.example"):
            with pytest.raises(SecurityError, match=f"leads to {HOST}") as caught:
                async with connect(
                    f"{url}:{server.port}", access=access, proxy=through, wait_open=SOON
                ):
                    pytest.fail("it opened")
            assert caught.value.__context__ is None
        assert names.count("feed.example") == 2
        assert server.accepted == 0


# A zone.


async def test_a_zone_is_dialled_shown_and_not_told() -> None:
    """In a network of its own, whose loopback has a link-local address."""
    if os.geteuid() != 0:
        missing("a network of one's own", "run the tests as root")
    unshare = daemon("unshare", "util-linux")
    client = [sys.executable, "-m", "tests.wire.zone_client"]
    text = await output_of(unshare, "--net", *client, within=60.0)
    for line in text.splitlines():
        _, told, shown = line.split()
        assert re.fullmatch(r"\[fe80::7\]:\d+", told)
        assert re.fullmatch(r"wss?://\[fe80::7%25lo\]:\d+/a\?k=\*\*\*", shown)
    ways = [line.split()[0] for line in text.splitlines()]
    assert ways == ["ws", "wss", "borrowed"] * 2


def test_a_zone_is_of_no_use_to_a_proxy() -> None:
    with pytest.raises(ValueError, match="must not have a zone"):
        connect("wss://[fe80::1%25eth0]/", proxy="http://127.0.0.1:9")


# Cookies.


def sets(*cookies: str) -> Callable[[Peer], None]:
    """Agree with these cookies, and echo."""

    def script(peer: Peer) -> None:
        peer.read_request()
        headers = [("Set-Cookie", cookie) for cookie in cookies]
        headers += [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", peer.accept_key),
        ]
        peer.respond(headers)
        peer.echo()

    return script


async def sent_again(
    server: RawServer, url: str, **options: Any
) -> tuple[str | None, str | None]:
    """The ``Cookie`` of the first connection, and of the one after it."""
    async with connect(url, wait_open=SOON, **options) as session:
        session.reconnect("cookies were set")
        await eventually(lambda: session.epoch > 1)
    first, second, *_ = (request.headers.get("cookie") for request in server.requests)
    return first, second


@pytest.mark.parametrize(
    ("own", "theirs", "again"),
    [
        (None, ["sid=1"], "sid=1"),
        ("sid=mine", ["sid=1"], "sid=mine"),
        ("sid=mine; x=a=b", ["sid=1", "y=2"], "sid=mine; x=a=b; y=2"),
        # As it was given, whatever a stricter reader would make of it.
        ('b="q;a={1},  c', ["y=2"], 'b="q;a={1},  c; y=2'),
        # As it was set: a balancer compares bytes.
        (None, ["lb=a/b+c=="], "lb=a/b+c=="),
        (None, ['q="x y"'], 'q="x y"'),
        (None, ["a=1; Max-Age=0"], None),
        (None, ["a=1; Secure"], None),
        (None, ["a=1; Path=/other"], None),
        (None, ["a=1; Domain=example.com"], None),
        (None, ["a=1; Domain=0.0.1"], None),
    ],
)
async def test_the_users_own_cookie_wins_name_by_name(
    own: str | None, theirs: list[str], again: str | None
) -> None:
    """And a host that is an address has cookies too."""
    headers = {} if own is None else {"Cookie": own}
    async with assert_no_leaks(), RawServer(sets(*theirs)) as server:
        sent = await sent_again(server, f"{server.url}/a?b", headers=headers)
    assert sent == (own, again)


async def test_the_users_own_cookie_wins_over_a_borrowed_clients_jar() -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        assert_no_leaks(),
        RawServer(sets("sid=1", "y=2")) as server,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        own = {"Cookie": "sid=mine; x=3"}
        first, second = await sent_again(server, server.url, headers=own, http=http)
    assert first == own["Cookie"]
    assert second is not None
    assert set(second.split("; ")) == {"sid=mine", "x=3", "y=2"}


@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_cookies_know_hosts_and_no_ports(host: str) -> None:
    """RFC 6265, sections 5.1.3 and 8.5."""
    async with (
        assert_no_leaks(),
        RawServer(sets("a=1")) as one,
        RawServer(sets("b=2")) as another,
    ):
        other_host = {HOST: "localhost", "localhost": HOST}[host]
        urls = [
            f"ws://{host}:{one.port}",
            f"ws://{host}:{another.port}",
            f"ws://{other_host}:{another.port}",
        ]

        turns = iter(urls)
        async with watched(lambda _: next(turns)) as (session, seen):
            for opened in (2, 3):
                session.reconnect("to the next")
                await seen.until(ConnectionOpened, count=opened)
        assert one.requests[0].headers.get("cookie") is None
        sent = [request.headers.get("cookie") for request in another.requests]
        assert sent == ["a=1", None]
