"""Servers with something wrong, and what the probe must say of each.

Used by the tests and by ``benchmarks.probe``, which writes the table of docs/probe.md.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trustme

from resilient_ws.testing import FaultProxy, Hang, Peer, ScriptedServer
from tests.servers.daemons import Identity, Mosquitto, Nginx
from tests.servers.process import HOST, ServerProcess, daemon, free_port
from tests.servers.proxies import Squid
from tests.servers.scripted import websockets_server


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_DAY: Final = dt.timedelta(days=1)

#: Starts a server in a folder; yields the arguments of ``probe``.
Start: TypeAlias = "Callable[[Path], AbstractAsyncContextManager[list[str]]]"


@attrs.frozen
class Case:
    """One server.

    Attributes:
        title: What is wrong with it, for the table.
        start: Starts it.
        step: The step that finds it.
        grade: How good the finding is.
        says: A part of what is found.
        advises: A part of the remedy.
        works: Whether a session works with it.
        options: The options that the probe advises.
    """

    title: str
    start: Start
    step: str
    grade: str
    says: str
    advises: str = ""
    works: bool = False
    options: str = ""


class PlainMosquitto(ServerProcess):
    """An MQTT broker with a port that speaks no WebSocket."""

    def __init__(self, folder: Path) -> None:
        program = daemon("mosquitto", "mosquitto")
        config = folder / "mosquitto.conf"
        super().__init__([program, "-c", str(config)], cwd=folder)
        lines = [f"listener {self.port} {HOST}", "allow_anonymous true"]
        lines += ["persistence false", "log_dest stdout"]
        if os.geteuid() == 0:
            lines.append("user root")
        config.write_text("\n".join(lines) + "\n")


@contextlib.asynccontextmanager
async def nginx_idle(folder: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server:
        front = Nginx(folder, server.port, read_timeout=3)
        async with front:
            yield [f"{front.url}/echo", "--watch", "6"]


def _tls(
    certificate: Callable[[trustme.CA], trustme.LeafCert], *, trusted: bool
) -> Start:
    @contextlib.asynccontextmanager
    async def start(folder: Path) -> AsyncIterator[list[str]]:
        authority = trustme.CA()
        chain, issuer = folder / "server.pem", folder / "issuer.pem"
        certificate(authority).private_key_and_cert_chain_pem.write_to_path(chain)
        authority.cert_pem.write_to_path(issuer)
        async with websockets_server() as server:
            front = Nginx(folder, server.port, tls=Identity(chain))
            async with front:
                trust = ["--cafile", str(issuer)] if trusted else []
                yield [f"{front.url}/echo", *trust, "--watch", "0"]

    return start


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    until = dt.datetime(2024, 2, 29, 12, 0, tzinfo=dt.UTC)
    return authority.issue_cert(HOST, not_before=until - 90 * _DAY, not_after=until)


@contextlib.asynccontextmanager
async def never_answers(_: Path) -> AsyncIterator[list[str]]:
    async def script(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.ended()

    async with ScriptedServer(script) as server:
        yield [server.url(), "--watch", "1"]


@contextlib.asynccontextmanager
async def closes_1008(_: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server:
        yield [f"{server.url}/feed?n=1&every=0.1&then=1008", "--watch", "3"]


@contextlib.asynccontextmanager
async def behind_a_proxy(folder: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server, Squid(folder, password=True) as proxy:
        through = ["--proxy", proxy.proxy_url(), "--allow-insecure"]
        yield [f"{server.url}/echo", *through, "--watch", "0"]


@contextlib.asynccontextmanager
async def plain_http(folder: Path) -> AsyncIterator[list[str]]:
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", HOST, str(port)]
    async with ServerProcess(command, port=port, cwd=folder) as server:
        yield [server.url, "--watch", "0"]


@contextlib.asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[list[str]]:
    async with Mosquitto(folder) as server:
        yield [server.url, "--watch", "1"]


@contextlib.asynccontextmanager
async def plain_broker(folder: Path) -> AsyncIterator[list[str]]:
    async with PlainMosquitto(folder) as server:
        yield [server.url, "--watch", "0", "--within", "3"]


@contextlib.asynccontextmanager
async def black_hole(_: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server, FaultProxy(HOST, server.port) as proxy:
        proxy.apply(Hang())
        yield [proxy.url("/echo"), "--within", "1"]


@contextlib.asynccontextmanager
async def dropped_packets(_: Path) -> AsyncIterator[list[str]]:
    # Linux drops the SYN of whoever comes when the queue of a listener is full.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _number in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield [f"ws://{HOST}:{listener.getsockname()[1]}/", "--within", "1"]


@contextlib.asynccontextmanager
async def refused(_: Path) -> AsyncIterator[list[str]]:
    yield [f"ws://{HOST}:{free_port()}/"]


@contextlib.asynccontextmanager
async def no_such_name(_: Path) -> AsyncIterator[list[str]]:
    yield ["wss://no-such-name.invalid/"]


@contextlib.asynccontextmanager
async def no_tls(_: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server:
        yield [f"{server.url}/echo".replace("ws://", "wss://")]


@contextlib.asynccontextmanager
async def tls_unasked(folder: Path) -> AsyncIterator[list[str]]:
    good = _tls(lambda authority: authority.issue_cert(HOST), trusted=True)
    async with good(folder) as arguments:
        yield [arguments[0].replace("wss://", "ws://")]


@contextlib.asynccontextmanager
async def healthy(_: Path) -> AsyncIterator[list[str]]:
    async with websockets_server() as server:
        yield [f"{server.url}/echo", "--watch", "1", "--message", "hello"]


CASES: Final = {
    "healthy": Case(
        "nothing (websockets, echo)",
        healthy,
        "While busy",
        "ok",
        "a ping behind 50 messages is answered in",
        works=True,
    ),
    "idle": Case(
        "nginx with `proxy_read_timeout 3s`",
        nginx_idle,
        "Silence",
        "note",
        "an idle link is closed after 3.",
        "Pings keep it open, as was tried: --ping 1",
        works=True,
        options="--ping 1",
    ),
    "expired": Case(
        "an expired certificate (nginx)",
        _tls(_expired, trusted=True),
        "TLS",
        "bad",
        "the certificate has expired on 2024-02-29",
        "Have it renewed",
    ),
    "mismatch": Case(
        "a certificate for another name (nginx)",
        _tls(lambda ca: ca.issue_cert("api.example.com"), trusted=True),
        "TLS",
        "bad",
        "the certificate is not for 127.0.0.1, but for api.example.com",
        "Use that name in the URL",
    ),
    "issuer": Case(
        "an issuer that nobody knows (nginx)",
        _tls(lambda ca: ca.issue_cert(HOST), trusted=False),
        "TLS",
        "bad",
        "the certificate's issuer is not known to this machine",
        "give --cafile a file with it",
    ),
    "pings": Case(
        "never answers pings (ScriptedServer)",
        never_answers,
        "Pings",
        "note",
        "the server never answers pings",
        "Do not wait for pongs (--ping 0",
        works=True,
        options="--ping 0",
    ),
    "1008": Case(
        "closes with 1008 (websockets)",
        closes_1008,
        "Open",
        "bad",
        "after the handshake with 1008 (policy violation",
        "It wants to know who is there",
    ),
    "proxy": Case(
        "behind a proxy that wants a password (squid)",
        behind_a_proxy,
        "Proxy",
        "bad",
        "the proxy wants a user name and a password (407)",
        "--proxy http://USER:PASSWORD@HOST:PORT",
    ),
    "http": Case(
        "a plain HTTP server (python -m http.server)",
        plain_http,
        "Handshake",
        "bad",
        "an HTTP server answered 200, and no WebSocket (Server: SimpleHTTP",
        "It is a web server: check the path",
    ),
    "broker": Case(
        "an MQTT broker, its WebSocket port (mosquitto)",
        broker,
        "Subprotocol",
        "note",
        "the server speaks MQTT: it is a broker",
        "--subprotocol mqtt",
        works=True,
        options="--subprotocol mqtt",
    ),
    "plain broker": Case(
        "an MQTT broker, its plain port (mosquitto)",
        plain_broker,
        "Protocol",
        "bad",
        "is the plain port of an MQTT broker",
        "Dial the broker's WebSocket listener",
    ),
    "black hole": Case(
        "a black hole behind TCP (FaultProxy)",
        black_hole,
        "Handshake",
        "bad",
        "the server took the connection and said nothing for 1 s",
        "It swallows what it gets (a black hole)",
    ),
    "packets": Case(
        "a black hole for TCP (a listener that drops SYNs)",
        dropped_packets,
        "TCP",
        "bad",
        "answers within 1 s",
        "A firewall swallows the packets",
    ),
    "refused": Case(
        "nobody listens",
        refused,
        "TCP",
        "bad",
        "connection refused",
        "Nobody listens at this port",
    ),
    "name": Case(
        "no such name",
        no_such_name,
        "DNS",
        "bad",
        "no-such-name.invalid has no address",
        "Check the host in the URL",
    ),
    "no tls": Case(
        "`wss://` to a server without TLS (websockets)",
        no_tls,
        "TLS",
        "bad",
        "hung up during the handshake",
        "It has no TLS at this port (try ws://)",
    ),
    "tls": Case(
        "`ws://` to a server with TLS (nginx)",
        tls_unasked,
        "Protocol",
        "bad",
        "speaks TLS",
        "Use wss:// in the URL",
    ),
}
