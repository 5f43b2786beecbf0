"""Sessions through real proxies: they work, refuse, hang, die and lose patience."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from resilient_ws import (
    Access,
    AttemptFailed,
    ConnectFailed,
    ConnectionDropped,
    ConnectionOpened,
    HandshakeRejected,
    Liveness,
    OpenTimeout,
    State,
    Timeouts,
    connect,
)
from resilient_ws.testing import assert_no_leaks
from tests.servers.daemons import Identity, Nginx
from tests.servers.process import HOST, free_port
from tests.servers.proxies import (
    PASSWORD,
    USER,
    Dante,
    Haproxy,
    Microsocks,
    Proxy,
    Squid,
    Tinyproxy,
)
from tests.wire.outcome import find_secrets, laden, outcome_of
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import BOTH_LOOPS, SOON, take, watched


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

#: Behind a proxy this machine is not the loopback of anybody who matters.
INSECURE: Final = Access(allow_insecure=True)
KNOWN: Final = f"{USER}:{PASSWORD}@"
MISTAKEN: Final = f"{USER}:plantedMistake@"


@attrs.frozen
class Kind:
    """A proxy to start, and how to name it."""

    make: Callable[..., Proxy]
    options: dict[str, Any] = attrs.Factory(dict)
    userinfo: str = ""
    scheme: str | None = None

    def __call__(self, folder: Path) -> Proxy:
        return self.make(folder, **self.options)

    def url(self, proxy: Proxy) -> str:
        return proxy.proxy_url(self.userinfo, self.scheme)


def private(scheme: str) -> dict[str, Any]:
    """A proxy that wants credentials, and gets them."""
    return {"options": {"password": True}, "userinfo": KNOWN, "scheme": scheme}


WORKING: dict[str, Kind] = {
    "squid": Kind(Squid),
    "squid, password": Kind(Squid, **private("http")),
    "tinyproxy": Kind(Tinyproxy),
    "tinyproxy, password": Kind(Tinyproxy, **private("http")),
    "dante, socks5": Kind(Dante),
    "dante, socks5h": Kind(Dante, scheme="socks5h"),
    "dante, socks4": Kind(Dante, scheme="socks4"),
    "microsocks": Kind(Microsocks),
    "microsocks, password": Kind(Microsocks, **private("socks5")),
    "microsocks, password, socks5h": Kind(Microsocks, **private("socks5h")),
}


@pytest.fixture(params=["ws", "wss"])
async def target(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    websockets_server: ServerProcess,
    authority: trustme.CA,
) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """A server behind nginx as the end of TLS, or without it; and whom to trust."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    if request.param == "ws":
        yield f"{websockets_server.url}/echo", trusting
        return
    chain = tmp_path / "server.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(chain)
    async with Nginx(tmp_path, websockets_server.port, tls=Identity(chain)) as front:
        yield f"{front.url}/echo", trusting


@pytest.mark.parametrize("name", WORKING)
async def test_a_session_through_a_proxy_goes_on_when_its_server_was_killed(
    name: str,
    target: tuple[str, ssl.SSLContext],
    tmp_path: Path,
    websockets_server: ServerProcess,
) -> None:
    url, tls = target
    kind = WORKING[name]
    async with assert_no_leaks(), kind(tmp_path) as proxy:
        options = {"proxy": kind.url(proxy), "access": INSECURE, "ssl": tls}
        async with watched(url, **options) as (session, seen):
            await session.send("before")
            assert await take(session, 1) == ["before"]
            await session.send(b"\x00" * 300_000)
            assert await session.receive() == b"\x00" * 300_000
            await websockets_server.restart()
            await seen.until(ConnectionOpened, count=2, within=30.0)
            await session.send("after")
            assert await take(session, 1) == ["after"]
    (told,) = websockets_server.entries("open")[-1:]
    # What is for the proxy goes no further.
    assert USER not in str(told)


# Refusals.


@attrs.frozen
class Refusal:
    """A proxy that does not do as it is asked, and what a session makes of it."""

    kind: Kind
    words: str
    status: int | None = None
    fatal: bool = False


CREDENTIALS: Final = "user:password@"
UNREACHED: Final = "did not get through to the server"
FORBIDDEN: Final = "does not allow this destination"
LOCKED: Final = {"password": True}

REFUSALS: dict[str, Refusal] = {
    "squid, no password": Refusal(Kind(Squid, LOCKED), CREDENTIALS, 407, fatal=True),
    "squid, wrong password": Refusal(
        Kind(Squid, LOCKED, MISTAKEN), CREDENTIALS, 407, fatal=True
    ),
    "squid, forbidden": Refusal(Kind(Squid, {"deny": True}), FORBIDDEN, 403),
    "squid, no server": Refusal(Kind(Squid), UNREACHED, 503),
    "tinyproxy, no password": Refusal(
        Kind(Tinyproxy, LOCKED), CREDENTIALS, 407, fatal=True
    ),
    # It has a status of its own for that, which the table of verdicts does not list.
    "tinyproxy, wrong password": Refusal(
        Kind(Tinyproxy, LOCKED, MISTAKEN), CREDENTIALS, 401
    ),
    "tinyproxy, forbidden": Refusal(Kind(Tinyproxy, {"deny": True}), FORBIDDEN, 403),
    "tinyproxy, no server": Refusal(Kind(Tinyproxy), UNREACHED, 500),
    "dante, forbidden": Refusal(
        Kind(Dante, {"deny": True}), "not allowed by its rules"
    ),
    "dante, no server": Refusal(Kind(Dante), "connection refused"),
    "dante, no server, socks4": Refusal(
        Kind(Dante, scheme="socks4"), "rejected or failed"
    ),
    "microsocks, no password": Refusal(Kind(Microsocks, LOCKED), CREDENTIALS),
    "microsocks, wrong password": Refusal(
        Kind(Microsocks, LOCKED, MISTAKEN), CREDENTIALS
    ),
    "microsocks, socks4": Refusal(
        Kind(Microsocks, scheme="socks4"), "Check the scheme, the port"
    ),
}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_proxy_that_refuses(
    name: str, scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = REFUSALS[name]
    async with assert_no_leaks(), refusal.kind(tmp_path) as proxy:
        outcome = await outcome_of(
            laden(f"{scheme}://{HOST}:{free_port()}"),
            caplog,
            proxy=refusal.kind.url(proxy),
            access=INSECURE,
        )
    failure = outcome.root
    if refusal.status is not None:
        assert isinstance(failure, HandshakeRejected), failure
        assert (failure.by, failure.status) == ("proxy", refusal.status)
    else:
        assert isinstance(failure, ConnectFailed), failure
        assert failure.stage == "proxy"
    assert refusal.words in str(failure)
    assert outcome.fatal is refusal.fatal
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
async def test_a_name_that_is_not_found_on_this_side_of_the_proxy(
    scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), Dante(tmp_path) as proxy:
        outcome = await outcome_of(
            laden("wss://no-such-host.invalid"),
            caplog,
            proxy=proxy.proxy_url(scheme=scheme),
        )
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "resolve"
    assert not outcome.fatal
    assert not find_secrets(outcome.told)


# Proxies that hang, die, or lose patience.

HANGING: dict[str, Kind] = {
    "squid": Kind(Squid),
    "tinyproxy": Kind(Tinyproxy),
    "dante": Kind(Dante),
    "https": Kind(Squid, scheme="https"),
}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", HANGING)
async def test_a_proxy_that_hangs_is_given_up_and_can_be_left_at_once(
    name: str, scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Frozen: the kernel still accepts connections, and nobody answers."""
    kind = HANGING[name]
    url = laden(f"{scheme}://{HOST}:{free_port()}")
    async with assert_no_leaks(), kind(tmp_path) as proxy:
        await proxy.freeze()
        options: dict[str, Any] = {"proxy": kind.url(proxy), "access": INSECURE}
        outcome = await outcome_of(url, caplog, timeouts=Timeouts(open=0.5), **options)
        patient = Timeouts(open=600.0, close=600.0)
        session = connect(url, wait_open=False, timeouts=patient, **options)
        async with session:
            await asyncio.sleep(0.1)
            assert session.state is State.CONNECTING
            async with asyncio.timeout(SOON):
                await session.close()
    assert isinstance(outcome.root, OpenTimeout)
    assert outcome.root.kind == "open"
    assert not outcome.fatal
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("make", [Squid, Tinyproxy, Dante], ids=lambda c: c.__name__)
async def test_a_proxy_that_dies_and_comes_back(
    make: Callable[..., Proxy],
    target: tuple[str, ssl.SSLContext],
    tmp_path: Path,
) -> None:
    url, tls = target
    async with assert_no_leaks(), make(tmp_path) as proxy:
        options = {"proxy": proxy.proxy_url(), "access": INSECURE, "ssl": tls}
        async with watched(url, **options) as (session, seen):
            await proxy.kill()
            await seen.until(ConnectionDropped, within=30.0)
            (failed, *_) = await seen.until(AttemptFailed, within=30.0)
            assert isinstance(failed.because, ConnectFailed)
            assert failed.because.stage == "proxy"
            assert "could not be reached (ECONNREFUSED" in str(failed.because)
            await proxy.start()
            await seen.until(ConnectionOpened, count=2, within=30.0)
            await session.send("back")
            assert await take(session, 1) == ["back"]


def idle_front(kind: str, folder: Path, server: ServerProcess) -> tuple[Proxy, bool]:
    """A proxy with little patience, and whether it is dialled like the server.

    Squid counts in whole seconds of the clock, so that one second may be none.
    """
    if kind == "haproxy":
        return Haproxy(folder, server.port, idle=1.0), True
    return {"squid": Squid, "tinyproxy": Tinyproxy}[kind](folder, idle=2), False


@pytest.mark.parametrize("kind", ["squid", "tinyproxy", "haproxy"])
async def test_a_proxy_that_drops_what_is_idle(
    kind: str, tmp_path: Path, websockets_server: ServerProcess
) -> None:
    """A session comes back, and one that pings more often is not dropped at all."""
    rare, often = Liveness(ping_interval=600), Liveness(ping_interval=0.2)
    front, direct = idle_front(kind, tmp_path, websockets_server)
    async with assert_no_leaks(), front as proxy, contextlib.AsyncExitStack() as stack:
        url = f"{proxy.url if direct else websockets_server.url}/echo"
        through = {} if direct else {"proxy": proxy.proxy_url()}
        options = {"access": INSECURE, **through}
        silent, seen = await stack.enter_async_context(
            watched(url, liveness=rare, **options)
        )
        lively, other = await stack.enter_async_context(
            watched(url, liveness=often, **options)
        )
        (dropped, *_) = await seen.until(ConnectionDropped, within=30.0)
        assert dropped.close is None
        await seen.until(ConnectionOpened, count=2, within=30.0)
        await silent.send("back")
        assert await take(silent, 1) == ["back"]
        await lively.send("still here")
        assert await take(lively, 1) == ["still here"]
        assert not other.of(ConnectionDropped)


async def test_tls_passes_through_a_tcp_proxy_and_its_dead_server_is_noticed(
    target: tuple[str, ssl.SSLContext], tmp_path: Path, websockets_server: ServerProcess
) -> None:
    url, tls = target
    scheme, _, rest = url.partition("://")
    port = int(rest.partition("/")[0].partition(":")[2])
    folder = tmp_path / "haproxy"
    folder.mkdir()
    async with assert_no_leaks(), Haproxy(folder, port) as front:
        fronted = f"{scheme}://{HOST}:{front.port}/echo"
        async with watched(fronted, ssl=tls) as (session, seen):
            await session.send("before")
            assert await take(session, 1) == ["before"]
            await websockets_server.kill()
            await seen.until(AttemptFailed, within=30.0)
            await websockets_server.start()
            await seen.until(ConnectionOpened, count=2, within=30.0)
            await session.send("after")
            assert await take(session, 1) == ["after"]


# Which proxy the environment names.

ENVIRONMENTS: dict[str, tuple[str, str, dict[str, str], bool]] = {
    "http": ("ws", "http", {"http_proxy": "{}"}, True),
    "http, no scheme": ("ws", "http", {"http_proxy": "{bare}"}, True),
    "https": ("wss", "http", {"https_proxy": "{}"}, True),
    "all": ("wss", "http", {"all_proxy": "{}"}, True),
    "all, socks": ("ws", "socks5", {"all_proxy": "{}"}, True),
    "the other scheme": ("ws", "http", {"https_proxy": "{}"}, False),
    "not for this host": ("ws", "http", {"http_proxy": "{}", "no_proxy": HOST}, False),
    "not for any": ("ws", "http", {"http_proxy": "{}", "no_proxy": "*"}, False),
    "not for this network": (
        "wss",
        "http",
        {"https_proxy": "{}", "NO_PROXY": "example.com, 127.0.0.0/8"},
        False,
    ),
    "not for another port": (
        "ws",
        "http",
        {"http_proxy": "{}", "no_proxy": f"{HOST}:1,[::1]"},
        True,
    ),
    "none": ("ws", "http", {}, False),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("asked", [True, False], ids=["env", "not asked"])
async def test_the_environment_names_the_proxy_if_it_is_asked(
    name: str,
    asked: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proxy that refuses everything shows whether it was used."""
    scheme, proxy_scheme, variables, used = ENVIRONMENTS[name]
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    make = Dante if proxy_scheme == "socks5" else Squid
    async with assert_no_leaks(), make(tmp_path, deny=True) as proxy:
        url = proxy.proxy_url(KNOWN)
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value.format(url, bare=url.split("//")[1]))
        outcome = await outcome_of(
            laden(f"{scheme}://{HOST}:{free_port()}"),
            caplog,
            proxy="env" if asked else None,
            access=INSECURE,
        )
    failure = outcome.root
    by_proxy = (isinstance(failure, HandshakeRejected) and failure.by == "proxy") or (
        isinstance(failure, ConnectFailed) and failure.stage == "proxy"
    )
    assert by_proxy is (used and asked), failure
    if not by_proxy:
        assert isinstance(failure, ConnectFailed)
        assert failure.stage == "connect"
    assert not find_secrets(outcome.told)


# What is on the wire between us and an HTTP proxy, for ws://.


def tunnels(*pieces: bytes) -> Callable[[Peer], None]:
    """Be the proxy and the server in one, and answer the CONNECT in pieces."""

    def script(peer: Peer) -> None:
        peer.read_request()
        for piece in pieces:
            peer.sock.sendall(piece)
        peer.accept()
        peer.echo()

    return script


OK: Final = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n"


@BOTH_LOOPS
@pytest.mark.parametrize(
    "pieces",
    [
        [OK],
        [OK[at : at + 1] for at in range(len(OK))],
        [b"HTTP/1.0 200\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
        [OK[:-1], OK[-1:]],
    ],
    ids=["whole", "byte by byte", "no words", "another 2xx", "last byte late"],
)
async def test_a_tunnel_stands_however_the_proxy_says_so(pieces: list[bytes]) -> None:
    async with (
        assert_no_leaks(),
        RawServer(tunnels(*pieces)) as proxy,
        connect(
            "ws://feed.example.com:8080/path?q",
            proxy=f"http://{KNOWN}{HOST}:{proxy.port}",
            access=INSECURE,
        ) as session,
    ):
        await session.send("through")
        assert await take(session, 1) == ["through"]
    asked, handshake = proxy.requests
    assert (asked.method, asked.target) == ("CONNECT", "feed.example.com:8080")
    assert asked.headers["host"] == "feed.example.com:8080"
    assert asked.headers["proxy-authorization"].startswith("Basic ")
    assert handshake.target == "/path?q"
    assert "proxy-authorization" not in handshake.headers


@BOTH_LOOPS
async def test_an_address_in_brackets_is_asked_for_in_brackets() -> None:
    async with (
        assert_no_leaks(),
        RawServer(tunnels(OK)) as proxy,
        connect(
            "ws://[2001:db8::1]/", proxy=f"http://{HOST}:{proxy.port}", access=INSECURE
        ),
    ):
        pass
    assert proxy.requests[0].target == "[2001:db8::1]:80"


def says(answer: bytes, *, then_stays: bool = False) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read_request()
        # The session hangs up as soon as it has heard enough.
        with contextlib.suppress(OSError):
            peer.sock.sendall(answer)
        if then_stays:
            peer.drain()

    return script


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (says(b""), "ended the connection when it was asked for a tunnel"),
        (says(b"HTTP/1.1 200 OK\r\nVia"), "in the middle of its answer"),
        (says(b"SSH-2.0-OpenSSH\r\n\r\n"), "an SSH server ('SSH-2.0-OpenSSH')"),
        (says(b"220 mail ESMTP\r\n", then_stays=True), "SMTP) ('220 mail ESMTP')"),
        (says(b"HTTP/1.1 2000 OK\r\n\r\n"), "malformed HTTP"),
        (
            says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, then_stays=True),
            "more than 262,144 bytes of headers",
        ),
    ],
    ids=[
        "end",
        "end half-way",
        "another protocol",
        "a greeting",
        "no status",
        "endless",
    ],
)
async def test_a_proxy_that_is_none(
    script: Callable[[Peer], None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), RawServer(script) as proxy:
        outcome = await outcome_of(
            laden("ws://example.com"),
            caplog,
            proxy=f"http://{KNOWN}{HOST}:{proxy.port}",
            access=INSECURE,
        )
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "proxy"
    assert words in str(outcome.root)
    assert not outcome.fatal
    assert not find_secrets(outcome.told)


async def test_a_proxy_that_says_when_is_not_asked_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = says(b"HTTP/1.1 503 Later\r\nRetry-After: 7\r\nSet-Cookie: planted\r\n\r\n")
    async with assert_no_leaks(), RawServer(later) as proxy:
        outcome = await outcome_of(
            laden("ws://example.com"),
            caplog,
            proxy=f"http://{HOST}:{proxy.port}",
            access=INSECURE,
        )
    assert isinstance(outcome.root, HandshakeRejected)
    assert outcome.root.headers == {"retry-after": "7"}
    assert not find_secrets(outcome.told)
