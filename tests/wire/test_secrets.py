"""No failure tells a secret: not in a log, an event, a repr or a traceback."""

from __future__ import annotations

import logging
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from resilient_ws import (
    Access,
    ConnectFailed,
    ConnectionLost,
    Fatal,
    HandshakeRejected,
    Liveness,
    LivenessTimeout,
    MessageTooBig,
    OpenTimeout,
    Outbox,
    OutboxFull,
    ProtocolError,
    ResilientWSError,
    SecurityError,
    SessionClosed,
    Timeouts,
    connect,
)
from resilient_ws.testing import assert_no_leaks
from tests.servers.process import HOST, free_port
from tests.servers.proxies import PASSWORD as PROXY_PASSWORD, USER as PROXY_USER
from tests.wire.outcome import (
    API_KEY,
    COOKIE,
    HEADERS,
    PASSWORD,
    PATHS,
    REDIRECTED,
    SET_COOKIE,
    TOKEN,
    USER,
    USERINFO,
    find_secrets,
    laden,
    outcome_of,
    shown_by_frames,
    told_by,
)
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import Witness


if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme


pytestmark = pytest.mark.wire


# What a server can do.


def resets(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


def leaves(peer: Peer) -> None:
    peer.read_request()


def talks_garbage(peer: Peer) -> None:
    request = peer.read_request()
    peer.sock.sendall(f"garbage for {request}\r\n\r\n".encode())


def never_answers(peer: Peer) -> None:
    peer.read_request()
    peer.drain()


def agrees_wrongly(peer: Peer) -> None:
    peer.accept(key="something else")
    peer.drain()


def closes_with_1008(peer: Peer) -> None:
    peer.accept()
    peer.receive()
    peer.close(1008, "not you")


def resets_later(peer: Peer) -> None:
    peer.accept()
    peer.receive()
    peer.reset()


def breaks_the_protocol(peer: Peer) -> None:
    peer.accept()
    peer.receive()
    peer.sock.sendall(b"\xff" * 16)
    peer.drain()


def falls_silent(peer: Peer) -> None:
    peer.accept()
    peer.drain()


def answers(status: str, location: str | None = None) -> Callable[[Peer], None]:
    """Repeat all that was asked in the answer, as a debugging page would."""

    def script(peer: Peer) -> None:
        request = peer.read_request()
        headers = {"Set-Cookie": f"id={SET_COOKIE}"}
        if location is not None:
            headers["Location"] = location
        peer.answer(status, headers, body=str(request))

    return script


BEFORE_THE_101 = {
    "reset": (resets, ConnectFailed),
    "eof": (leaves, ConnectFailed),
    "garbage": (talks_garbage, ConnectFailed),
    "silence": (never_answers, OpenTimeout),
    "wrong accept": (agrees_wrongly, ProtocolError),
    "401": (answers("401 Unauthorized"), HandshakeRejected),
    "403": (answers("403 Forbidden"), HandshakeRejected),
    "404": (answers("404 Not Found"), HandshakeRejected),
    "407": (answers("407 Proxy Authentication Required"), HandshakeRejected),
    "500": (answers("500 Internal Server Error"), HandshakeRejected),
    "200": (answers("200 OK"), HandshakeRejected),
    "redirect to plain": (
        answers("302 Found", f"ws://{REDIRECTED}:x@192.0.2.1/?token={REDIRECTED}"),
        SecurityError,
    ),
    "redirect to nothing": (
        answers("302 Found", f"mailto:{REDIRECTED}@example.com"),
        SecurityError,
    ),
    "redirect with spaces": (
        answers("302 Found", f"wss://{REDIRECTED} {REDIRECTED}@h/"),
        SecurityError,
    ),
    "redirect in a circle": (answers("302 Found", PATHS), SecurityError),
}


@pytest.mark.parametrize("case", BEFORE_THE_101)
async def test_failures_of_the_handshake_tell_no_secret(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    script, kind = BEFORE_THE_101[case]
    async with assert_no_leaks(), RawServer(script) as server:
        outcome = await outcome_of(laden(server), caplog, timeouts=Timeouts(open=0.3))
        # It was all sent, or there was nothing to tell.
        assert TOKEN in server.requests[0].target
        assert server.requests[0].headers["cookie"] == f"id={COOKIE}"
        assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert isinstance(outcome.root, kind)
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("case", [*BEFORE_THE_101, "refused"])
async def test_an_error_of_entering_shows_no_secret_in_its_frames(case: str) -> None:
    """To whoever records the variables of each frame, as trackers of errors do."""
    script, _ = BEFORE_THE_101.get(case, (resets, None))
    async with assert_no_leaks(), RawServer(script) as server:
        url = f"ws://{HOST}:{free_port()}" if case == "refused" else server.url
        session = connect(
            laden(url), headers=HEADERS, wait_open=0.5, timeouts=Timeouts(open=0.2)
        )
        with pytest.raises(ResilientWSError) as caught:
            await session.__aenter__()
    told = told_by(caught.value)
    # Not even its own frame is there.
    assert not any(text.startswith("Session.") for text in told)
    assert not find_secrets(told)


async def test_what_connect_refuses_is_not_in_its_frame() -> None:
    secrets = {"headers": {"X-Key": f"{API_KEY}\r\n"}, "subprotocols": [f"{TOKEN} "]}
    for name, wrong in secrets.items():
        with pytest.raises(ValueError, match=name) as caught:
            connect(
                laden("wss://example.com"),
                proxy=proxy_url(1),
                liveness=Liveness(probe=TOKEN),
                **{"headers": HEADERS, name: wrong},  # type: ignore[arg-type]
            )
        told = told_by(caught.value)
        assert not any(text.startswith("connect, ") for text in told)
        assert not find_secrets(told)


async def test_what_send_refuses_is_not_in_its_frame() -> None:
    url = f"ws://{HOST}:{free_port()}"
    room = Outbox(max_bytes=100)
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (TypeError, {"data": [TOKEN]}),
        (ValueError, {"data": f"{TOKEN}\ud800"}),
        (ValueError, {"data": TOKEN, "ttl": -1}),
        (TypeError, {"data": TOKEN, "message_id": 1}),
        (ValueError, {"data": TOKEN, "confirm": "never"}),
        (MessageTooBig, {"data": TOKEN * 100}),
        (OutboxFull, {"data": TOKEN + "x" * (90 - len(TOKEN))}),
    ]
    async with connect(url, wait_open=False, outbox=room) as session:
        await session.send("x" * 50)
        for kind, arguments in wrong:
            with pytest.raises(kind) as caught:
                await session.send(**arguments)
            assert not find_secrets(shown_by_frames(caught.tb.tb_next)), arguments
    with pytest.raises(SessionClosed) as closed:
        await session.send(TOKEN)
    assert not find_secrets(shown_by_frames(closed.tb.tb_next))


AFTER_THE_101: dict[str, tuple[Callable[[Peer], None], type[Exception]]] = {
    "close 1008": (closes_with_1008, ConnectionLost),
    "reset": (resets_later, ConnectionLost),
    "protocol": (breaks_the_protocol, ProtocolError),
    "silence": (falls_silent, LivenessTimeout),
}


@pytest.mark.parametrize("case", AFTER_THE_101)
@pytest.mark.parametrize("restoring", [False, True], ids=["open", "restoring"])
async def test_losses_tell_no_secret(
    case: str, restoring: bool, caplog: pytest.LogCaptureFixture
) -> None:
    script, kind = AFTER_THE_101[case]

    async def on_open(connection: Any) -> None:
        await connection.send("hello")
        if restoring:
            await connection.receive()

    async with assert_no_leaks(), RawServer(script) as server:
        outcome = await outcome_of(
            laden(server),
            caplog,
            on_open=on_open,
            liveness=Liveness(ping_interval=0.1, ping_timeout=0.2),
        )
    assert isinstance(outcome.root, kind)
    assert not find_secrets(outcome.told)


async def test_a_bearer_token_is_a_secret_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"Authorization": "Bearer plantedBearer"}
    async with assert_no_leaks(), RawServer(resets) as server:
        outcome = await outcome_of(server.url, caplog, headers=headers)
        assert server.requests[0].headers["authorization"] == "Bearer plantedBearer"
    assert not find_secrets(outcome.told)


# The network.


async def test_a_name_that_is_not_found(caplog: pytest.LogCaptureFixture) -> None:
    async with assert_no_leaks():
        outcome = await outcome_of(laden("wss://no-such-host.invalid"), caplog)
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "resolve"
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_refused_connection(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks():
        outcome = await outcome_of(laden(f"{scheme}://{HOST}:{free_port()}"), caplog)
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "connect"
    assert not find_secrets(outcome.told)


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A certificate that the system does not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.com").configure_cert(context)
    return context


@pytest.mark.parametrize("trusted", [False, True], ids=["issuer", "host"])
async def test_a_wrong_certificate(
    trusted: bool,
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client_tls = ssl.create_default_context()
    if trusted:
        authority.configure_trust(client_tls)
    async with assert_no_leaks(), RawServer(falls_silent, tls=server_tls) as server:
        outcome = await outcome_of(laden(server), caplog, ssl=client_tls)
        assert not server.requests
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "certificate"
    assert not find_secrets(outcome.told)


async def test_no_tls_where_it_is_expected(caplog: pytest.LogCaptureFixture) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with assert_no_leaks(), RawServer(script) as server:
        url = laden(server.url.replace("ws:", "wss:"))
        outcome = await outcome_of(url, caplog)
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage in {"tls", "handshake"}
    assert not find_secrets(outcome.told)


# Proxies.


def proxy_url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://{PROXY_USER}:{PROXY_PASSWORD}@{HOST}:{port}"


PROXY_ANSWERS = {
    "407": (answers("407 Proxy Authentication Required"), HandshakeRejected),
    "502": (answers("502 Bad Gateway"), HandshakeRejected),
    "reset": (resets, ConnectFailed),
    "garbage": (talks_garbage, ConnectFailed),
    "silence": (never_answers, OpenTimeout),
}


@pytest.mark.parametrize("case", PROXY_ANSWERS)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_failures_of_a_proxy_tell_no_secret(
    scheme: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    script, kind = PROXY_ANSWERS[case]
    async with assert_no_leaks(), RawServer(script) as proxy:
        outcome = await outcome_of(
            laden(f"{scheme}://example.com"),
            caplog,
            proxy=proxy_url(proxy.port),
            access=Access(allow_insecure=True),
            timeouts=Timeouts(open=0.3),
        )
        asked = proxy.requests[0]
        assert asked.method == "CONNECT"
        assert asked.headers["proxy-authorization"].startswith("Basic ")
        # The server's own secrets are none of the proxy's business.
        assert not {"authorization", "cookie", "x-api-key"} & set(asked.headers)
        assert "token" not in asked.target
    assert isinstance(outcome.root, kind)
    if isinstance(outcome.root, HandshakeRejected):
        assert outcome.root.by == "proxy"
        assert outcome.root.status == int(case)
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize(
    "proxy_scheme", ["http", "https", "socks4", "socks5", "socks5h"]
)
async def test_a_proxy_that_is_not_there(
    scheme: str, proxy_scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks():
        outcome = await outcome_of(
            laden(f"{scheme}://{HOST}:9999"),
            caplog,
            proxy=proxy_url(free_port(), proxy_scheme),
            access=Access(allow_insecure=True),
        )
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "proxy"
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
async def test_a_socks_proxy_that_is_none(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with assert_no_leaks(), RawServer(script) as proxy:
        outcome = await outcome_of(
            laden(f"wss://{HOST}:9999"),
            caplog,
            proxy=proxy_url(proxy.port, scheme),
        )
    assert isinstance(outcome.root, ConnectFailed)
    assert outcome.root.stage == "proxy"
    assert not find_secrets(outcome.told)


# What a user's own callables do.


def token_service_error() -> Exception:
    """What aiohttp raises for the service that a callable fetches its token from."""
    headers = {"Authorization": API_KEY}
    url = f"https://{USERINFO}tokens.example.com/?key={TOKEN}"
    info = aiohttp.RequestInfo(url, "GET", headers, url)  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(info, (), status=500, message=TOKEN)


@pytest.mark.parametrize("which", ["url", "headers"])
async def test_a_callable_that_cannot_reach_its_token_service(
    which: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(attempt: object) -> Any:
        raise token_service_error()

    url = fails if which == "url" else f"ws://{HOST}:9999"
    options = {"headers": fails} if which == "headers" else {}
    async with assert_no_leaks():
        outcome = await outcome_of(url, caplog, **options)
    assert isinstance(outcome.root, ConnectFailed)
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize(
    "bad",
    [
        f"http://{USERINFO}example.com{PATHS}",
        f"wss://{USERINFO}exa mple.com{PATHS}",
        f"wss://{USERINFO}example.com:99999{PATHS}",
        f"wss://{USERINFO}[::1{PATHS}",
        f"wss://{USERINFO}example.com{PATHS}#{TOKEN}",
        f"wss://{USER}%3A:{PASSWORD}@example.com{PATHS}",
        f"{USERINFO}example.com{PATHS}",
        f"wss://{USERINFO}ex\N{LATIN SMALL LETTER A WITH DIAERESIS}..com{PATHS}",
    ],
    ids=range(8),
)
async def test_a_url_that_cannot_be_dialled(
    bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        connect(bad)
    assert not find_secrets(told_by(caught.value))
    async with assert_no_leaks():
        outcome = await outcome_of(lambda _: bad, caplog)
    assert isinstance(outcome.root, Fatal)
    assert not find_secrets(outcome.told)


@pytest.mark.parametrize(
    "bad",
    [
        f"ftp://{PROXY_USER}:{PROXY_PASSWORD}@{HOST}:1",
        f"http://{PROXY_USER}:{PROXY_PASSWORD}@{HOST}:99999",
        f"http://{PROXY_USER}:{PROXY_PASSWORD}@{HOST}/{PROXY_PASSWORD}",
        f"{PROXY_USER}:{PROXY_PASSWORD}@{HOST}",
    ],
    ids=range(4),
)
def test_a_proxy_that_cannot_be_dialled(bad: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        connect("wss://example.com", proxy=bad)
    assert not find_secrets(told_by(caught.value))


@pytest.mark.parametrize(
    "headers",
    [{"X-Key": f"{API_KEY}\r\nX: y"}, {"X-Key": API_KEY, "Connection": COOKIE}],
)
def test_headers_that_cannot_be_sent(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="headers") as caught:
        connect("wss://example.com", headers=headers)
    assert not find_secrets(told_by(caught.value))


def test_a_destination_that_is_not_allowed() -> None:
    for access in (Access(allowed_hosts=["example.org"]), Access(allow_insecure=False)):
        with pytest.raises(SecurityError) as caught:
            connect(laden("ws://example.com"), access=access)
        assert not find_secrets(told_by(caught.value))


@pytest.mark.parametrize("failure", [RuntimeError("no"), OSError(5, "no"), Fatal("no")])
async def test_a_hook_that_fails(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_open(connection: Any) -> None:
        assert not find_secrets([repr(connection), connection.endpoint])
        raise failure

    async with assert_no_leaks(), RawServer(falls_silent) as server:
        outcome = await outcome_of(laden(server), caplog, on_open=on_open)
    # A mistake in the hook comes as the cause of a Fatal that says so.
    assert failure in {outcome.root, outcome.root.__cause__}
    assert not find_secrets(outcome.told)


async def test_a_hook_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def on_open(connection: Any) -> None:
        await connection.receive()

    async with assert_no_leaks(), RawServer(falls_silent) as server:
        outcome = await outcome_of(
            laden(server), caplog, on_open=on_open, timeouts=Timeouts(restore=0.1)
        )
    assert isinstance(outcome.root, OpenTimeout)
    assert outcome.root.kind == "restore"
    assert not find_secrets(outcome.told)


async def test_what_a_session_shows_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def echoes(peer: Peer) -> None:
        peer.accept()
        peer.echo()

    caplog.set_level(logging.DEBUG, "resilient_ws")
    async with assert_no_leaks(), RawServer(echoes) as server:
        session = connect(laden(server), headers=HEADERS)
        told = [repr(session)]
        seen = Witness(session)
        async with session:
            told.append(repr(session))
            delivery = await session.send("plantedPayload")
            assert await session.receive() == "plantedPayload"
            told += [repr(delivery), repr(session.statistics())]
        told += [repr(session), *map(repr, seen.events)]
    told += [record.getMessage() for record in caplog.records]
    assert not find_secrets(told)
    assert any("token=***" in text for text in told)


def test_the_search_finds_what_is_planted() -> None:
    """What is hidden by ``from None`` is still at hand for whoever logs it."""
    failure = ConnectFailed("clean", stage="resolve")
    failure.__context__ = token_service_error()
    failure.__suppress_context__ = True
    assert "planted" not in "".join(traceback.format_exception(failure))
    assert find_secrets(told_by(failure))
