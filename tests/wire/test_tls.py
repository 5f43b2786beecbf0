"""Every way for TLS to fail has an error of its own, direct and through proxies."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import signal
import ssl
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import trustme

from resilient_ws import (
    Access,
    ConnectFailed,
    ConnectionDropped,
    HandshakeRejected,
    OpenTimeout,
    State,
    Timeouts,
    connect,
)
from resilient_ws.testing import assert_no_leaks
from tests.servers.daemons import Identity, Nginx, Stunnel
from tests.servers.process import HOST
from tests.servers.proxies import (
    PASSWORD as PROXY_PASSWORD,
    USER as PROXY_USER,
    Dante,
    Squid,
)
from tests.wire.outcome import find_secrets, laden, outcome_of
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import BOTH_LOOPS, SOON, eventually, take, watched


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.process import ServerProcess
    from tests.servers.proxies import Proxy
    from tests.wire.outcome import Outcome


pytestmark = pytest.mark.wire

DAY: Final = dt.timedelta(days=1)
NOW: Final = dt.datetime.now(dt.UTC)
TLS_1_2: Final = ssl.TLSVersion.TLSv1_2
TLS_1_3: Final = ssl.TLSVersion.TLSv1_3

TRUSTED: Final = trustme.CA()
STRANGER: Final = trustme.CA()
GOOD: Final = TRUSTED.issue_cert(HOST)
MINE: Final = TRUSTED.issue_cert("me@example.com")
FOREIGN: Final = STRANGER.issue_cert("me@example.com")


@attrs.frozen(kw_only=True)
class Trouble:
    """What is wrong, and what a session makes of it.

    Attributes:
        server: The server's certificate.
        issuer: Who must have issued a client's certificate, if one is wanted.
        client: The client's certificate, if it has one.
        version: The one TLS version of the server.
        client_version: The one TLS version of the client.
        stages: Where it fails. Two for TLS 1.3 and the client's certificate: the
            server's reset may overtake the alert that tells why.
        words: What the error says of it, or of the remedy.
    """

    server: trustme.LeafCert = GOOD
    issuer: trustme.CA | None = None
    client: trustme.LeafCert | None = None
    version: ssl.TLSVersion | None = None
    client_version: ssl.TLSVersion | None = None
    stages: tuple[str, ...] = ("tls",)
    words: tuple[str, ...]

    @property
    def fatal(self) -> bool:
        """As the table says: certificates are final, TLS handshakes are retried."""
        return self.stages == ("certificate",)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.configure_cert(context)
        if self.issuer is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            self.issuer.configure_trust(context)
        return _only(self.version, context)

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        TRUSTED.configure_trust(context)
        if self.client is not None:
            self.client.configure_cert(context)
        return _only(self.client_version, context)

    def identity(self, folder: Path) -> Identity:
        chain, issuer = folder / "server.pem", folder / "client-issuer.pem"
        self.server.private_key_and_cert_chain_pem.write_to_path(chain)
        if self.issuer is not None:
            self.issuer.cert_pem.write_to_path(issuer)
        return Identity(chain, None if self.issuer is None else issuer)

    def check(self, outcome: Outcome) -> None:
        failure = outcome.root
        assert isinstance(failure, ConnectFailed), failure
        assert failure.stage in self.stages, failure
        assert outcome.fatal is self.fatal
        said = str(failure)
        assert any(word in said for word in self.words), said
        assert said.endswith("."), "a sentence, with a remedy"
        assert not find_secrets(outcome.told)


def _only(version: ssl.TLSVersion | None, context: ssl.SSLContext) -> ssl.SSLContext:
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


CERTIFICATE: Final = ("certificate",)
#: Beside ``tls``, where the server looks at it after the client has shaken hands.
LATE: Final = ("tls", "handshake")

TROUBLES: dict[str, Trouble] = {
    "expired": Trouble(
        server=TRUSTED.issue_cert(HOST, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        stages=CERTIFICATE,
        words=("expired). Have the certificate renewed",),
    ),
    "not yet valid": Trouble(
        server=TRUSTED.issue_cert(HOST, not_before=NOW + DAY, not_after=NOW + 9 * DAY),
        stages=CERTIFICATE,
        words=("not yet valid). Check this machine's clock",),
    ),
    "wrong host": Trouble(
        server=TRUSTED.issue_cert("example.com"),
        stages=CERTIFICATE,
        words=("check the host in the URL",),
    ),
    "wrong issuer": Trouble(
        server=STRANGER.issue_cert(HOST),
        stages=CERTIFICATE,
        words=("cafile=",),
    ),
    "client without certificate, 1.2": Trouble(
        issuer=TRUSTED,
        version=TLS_1_2,
        words=("load_cert_chain()",),
    ),
    "client without certificate, 1.3": Trouble(
        issuer=TRUSTED,
        version=TLS_1_3,
        stages=LATE,
        words=("load_cert_chain()", "If it wants a client certificate"),
    ),
    "client of a wrong issuer, 1.2": Trouble(
        issuer=TRUSTED,
        client=FOREIGN,
        version=TLS_1_2,
        words=("did not accept your client certificate",),
    ),
    "client of a wrong issuer, 1.3": Trouble(
        issuer=TRUSTED,
        client=FOREIGN,
        version=TLS_1_3,
        stages=LATE,
        words=(
            "did not accept your client certificate",
            "If it wants a client certificate",
        ),
    ),
    "server too old": Trouble(
        version=TLS_1_2, client_version=TLS_1_3, words=("no TLS version in common",)
    ),
    "server too new": Trouble(
        version=TLS_1_3, client_version=TLS_1_2, words=("no TLS version in common",)
    ),
}


# What a server does that speaks no TLS, or not to the end.


def answers_in_plain(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def resets(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.reset()


def leaves(peer: Peer) -> None:
    peer.sock.recv(65536)


def leaves_half_way(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.sock.sendall(b"\x16\x03\x03\x00\x50\x02")


def hangs(peer: Peer) -> None:
    peer.drain()


BREAKS: dict[str, tuple[Callable[[Peer], None], str]] = {
    "plain": (answers_in_plain, "the URL must start with ws://"),
    "reset": (resets, "TLS handshake"),
    "end": (leaves, "was cut off"),
    "end half-way": (leaves_half_way, "was cut off"),
}


def echoes(peer: Peer) -> None:
    peer.accept()
    peer.echo()


@pytest.fixture(scope="module")
def squid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    yield from running(Squid(tmp_path_factory.mktemp("squid")))


@pytest.fixture(scope="module")
def dante(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    yield from running(Dante(tmp_path_factory.mktemp("dante")))


def running(proxy: Proxy) -> Iterator[Proxy]:
    """Run one for all tests of the module, which are many."""
    proxy._start(15.0)
    yield proxy
    proxy._end(signal.SIGKILL, 5.0)


@pytest.fixture(params=["direct", "squid", "dante"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options to get to a server: the same failures show through a tunnel."""
    if request.param == "direct":
        return {}
    proxy = request.getfixturevalue(request.param)
    return {"proxy": proxy.proxy_url(), "access": Access(allow_insecure=True)}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_handshake_that_fails(
    name: str, way: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    trouble = TROUBLES[name]
    async with (
        assert_no_leaks(),
        RawServer(echoes, tls=trouble.server_context()) as server,
    ):
        outcome = await outcome_of(
            laden(server), caplog, ssl=trouble.client_context(), **way
        )
    trouble.check(outcome)


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_handshake_that_fails_with_stunnel(
    name: str,
    tmp_path: Path,
    websockets_server: ServerProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = TROUBLES[name]
    version = {TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3", None: None}[trouble.version]
    tls = trouble.identity(tmp_path)
    async with (
        assert_no_leaks(),
        Stunnel(tmp_path, websockets_server.port, tls=tls, version=version) as server,
    ):
        outcome = await outcome_of(
            laden(server.url), caplog, ssl=trouble.client_context()
        )
        assert not websockets_server.entries("request")
    trouble.check(outcome)


@BOTH_LOOPS
async def test_a_client_with_its_certificate_is_let_in(
    tmp_path: Path, way: dict[str, Any], websockets_server: ServerProcess
) -> None:
    welcome = Trouble(issuer=TRUSTED, client=MINE, words=())
    tls = welcome.identity(tmp_path)
    async with (
        assert_no_leaks(),
        Stunnel(tmp_path, websockets_server.port, tls=tls) as server,
        watched(f"{server.url}/echo", ssl=welcome.client_context(), **way) as (
            session,
            _,
        ),
    ):
        await session.send("in")
        assert await take(session, 1) == ["in"]


@pytest.mark.parametrize("name", BREAKS)
async def test_a_server_that_speaks_no_tls_or_not_to_the_end(
    name: str, way: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    script, words = BREAKS[name]
    async with assert_no_leaks(), RawServer(script) as server:
        url = laden(f"wss://{HOST}:{server.port}")
        outcome = await outcome_of(url, caplog, **way)
    failure = outcome.root
    assert isinstance(failure, ConnectFailed)
    assert failure.stage == "tls"
    assert not outcome.fatal
    assert words in str(failure)
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("garbage", [b"garbage", b"\x17\x03\x03\x00\x20" + bytes(32)])
async def test_a_broken_record_of_tls_has_no_errno_and_is_named(
    garbage: bytes, authority: trustme.CA
) -> None:
    """OpenSSL counts its own errors: its 1 is not EPERM."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)

    def breaks(peer: Peer) -> None:
        peer.accept()
        peer.receive()
        os.write(peer.sock.fileno(), garbage)
        peer.drain()

    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with assert_no_leaks(), RawServer(breaks, tls=tls) as server:
        url = f"wss://{HOST}:{server.port}"
        async with watched(url, ssl=client) as (session, seen):
            await session.send("now")
            await eventually(lambda: bool(seen.of(ConnectionDropped)))
            lost = seen.of(ConnectionDropped)[0].because
    assert lost.errno is None
    assert lost.how == "reset"
    assert "EPERM" not in str(lost)
    assert re.search(r"SSLError: [A-Z_]+\)", str(lost)), lost


async def test_a_name_that_is_not_found_has_no_errno() -> None:
    """Its number is the resolver's."""
    with pytest.raises(ConnectFailed) as caught:
        async with connect("wss://no-such-host.invalid", wait_open=0.5):
            pass
    assert caught.value.stage == "resolve"
    assert caught.value.errno is None


async def test_a_server_that_hangs_in_the_tls_handshake_is_given_up(
    way: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), RawServer(hangs) as server:
        url = laden(f"wss://{HOST}:{server.port}")
        outcome = await outcome_of(url, caplog, timeouts=Timeouts(open=0.5), **way)
    failure = outcome.root
    assert isinstance(failure, OpenTimeout)
    assert failure.kind == "open"
    assert not outcome.fatal
    assert not find_secrets(outcome.told)


@BOTH_LOOPS
async def test_a_dial_that_hangs_in_the_tls_handshake_is_cancelled_at_once(
    way: dict[str, Any],
) -> None:
    async with assert_no_leaks(), RawServer(hangs) as server:
        url = f"wss://{HOST}:{server.port}"
        patient = Timeouts(open=600.0, close=600.0)
        session = connect(url, wait_open=False, timeouts=patient, **way)
        async with session:
            await eventually(lambda: server.accepted == 1)
            assert session.state is State.CONNECTING
            async with asyncio.timeout(SOON):
                await session.close()


async def test_plain_http_on_a_tls_port(
    tmp_path: Path,
    websockets_server: ServerProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """nginx says what is wrong, and stunnel hangs up."""
    identity = Trouble(words=()).identity(tmp_path)
    async with assert_no_leaks():
        async with Stunnel(tmp_path, websockets_server.port, tls=identity) as server:
            dropped = await outcome_of(laden(f"ws://{HOST}:{server.port}"), caplog)
        async with Nginx(tmp_path, websockets_server.port, tls=identity) as server:
            told = await outcome_of(laden(f"ws://{HOST}:{server.port}"), caplog)
    assert isinstance(dropped.root, ConnectFailed)
    assert dropped.root.stage == "handshake"
    assert not dropped.fatal
    assert "If the server uses TLS there, use wss://" in str(dropped.root)
    assert isinstance(told.root, HandshakeRejected)
    assert told.root.status == 400
    assert told.fatal
    assert "plain HTTP request was sent to HTTPS port" in told.root.body.decode()
    assert not find_secrets(dropped.told + told.told)


async def test_tls_on_a_plain_port(
    any_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks():
        url = laden(f"wss://{HOST}:{any_server.port}")
        outcome = await outcome_of(url, caplog)
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "tls"
    assert not outcome.fatal
    assert "must start with ws://" in str(outcome.root)
    assert not find_secrets(outcome.told)


async def test_nginx_that_wants_a_certificate_says_so_in_http(
    tmp_path: Path,
    websockets_server: ServerProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble(issuer=TRUSTED, words=())
    identity = trouble.identity(tmp_path)
    async with (
        assert_no_leaks(),
        Nginx(tmp_path, websockets_server.port, tls=identity) as server,
    ):
        outcome = await outcome_of(
            laden(server.url), caplog, ssl=trouble.client_context()
        )
    assert isinstance(outcome.root, HandshakeRejected)
    assert outcome.root.status == 400
    assert outcome.fatal
    assert "No required SSL certificate was sent" in outcome.root.body.decode()
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("trusted", [False, True], ids=["stranger", "trusted"])
async def test_a_proxy_s_own_certificate(
    scheme: str, trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With an https:// proxy, what fails is told to be the proxy's."""

    def refuses(peer: Peer) -> None:
        peer.read_request()
        peer.answer("503 Service Unavailable")

    trouble = Trouble(
        server=(TRUSTED if trusted else STRANGER).issue_cert(HOST), words=()
    )
    async with (
        assert_no_leaks(),
        RawServer(refuses, tls=trouble.server_context()) as proxy,
    ):
        outcome = await outcome_of(
            laden(f"{scheme}://example.com"),
            caplog,
            ssl=trouble.client_context(),
            proxy=f"https://{PROXY_USER}:{PROXY_PASSWORD}@{HOST}:{proxy.port}",
            access=Access(allow_insecure=True),
        )
    if trusted:
        assert isinstance(outcome.root, HandshakeRejected)
        assert (outcome.root.by, outcome.root.status) == ("proxy", 503)
        assert not outcome.fatal
    else:
        assert isinstance(outcome.root, ConnectFailed)
        assert outcome.root.stage == "certificate"
        assert outcome.fatal
        assert "of the proxy on the way to" in str(outcome.root)
        assert "cafile=" in str(outcome.root)
    assert not find_secrets(outcome.told)
