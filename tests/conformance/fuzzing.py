"""The fuzzing server that judges a client, and echo clients for it to judge.

``kosoku`` runs the Autobahn cases. It lives in a virtual environment of its own
(``make conformance-server``), because importing it changes the standard library. A
client asks for the number of cases, lets each be run against it over a connection of
its own, echoing every message, and at last asks for the reports.

Two things are set up for it. It cannot read a plain message on a connection with
compression, which RFC 7692 section 6 allows: our client compresses all messages here,
small ones too. And a server may forgo our context takeover only where the client
offered that, so the cases that ask for it are run with such an offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from unittest import mock

import aiohttp
import attrs
import tenacity
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

import resilient_ws
from resilient_ws.protocol import engine
from resilient_ws.protocol.deflate import Offer
from tests.servers.process import ROOT, ServerProcess, missing
from tests.wire.raw import Peer, RawServer


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path


KOSOKU: Final = ROOT / ".cache" / "kosoku" / "bin" / "kosoku"
#: Cases of RFC 6455 (there is no 8), and those of RFC 7692.
PLAIN: Final = tuple(f"{number}.*" for number in (*range(1, 8), 9, 10))
COMPRESSED_KINDS: Final = (
    *(f"12.{number}" for number in range(1, 6)),
    *(f"13.{number}" for number in (1, 3, 4, 7)),
)
#: Each is a thousand messages. Left out are the largest ones (9, 10, 14 to 18):
#: some of those did not end within ``CASE_TIMEOUT``.
SIZES: Final = (*range(1, 9), *range(11, 14))
COMPRESSED: Final = tuple(
    f"{kind}.{size}" for kind in COMPRESSED_KINDS for size in SIZES
)
#: Those of RFC 7692 that the server runs only where ``client_no_context_takeover``
#: was offered.
FRESH: Final = tuple(f"13.{number}.{size}" for number in (2, 5, 6) for size in SIZES)
#: One of each kind: all of them take minutes.
FEW_COMPRESSED: Final = tuple(f"{kind}.1" for kind in COMPRESSED_KINDS)
FEW_FRESH: Final = tuple(f"13.{number}.1" for number in (2, 5, 6))
#: The cases send up to 16 MiB.
MAX_SIZE: Final = 64 * 1024 * 1024
#: The longest that one case may take; the longest of them waits some seconds.
CASE_TIMEOUT: Final = 60.0

#: Serves one connection of the given agent: echoes until it ends.
Echo: TypeAlias = "Callable[[str], Awaitable[None]]"


@attrs.frozen(kw_only=True)
class Verdict:
    """What the server says of one case."""

    case: str
    behavior: str
    close: str

    @property
    def passed(self) -> bool:
        """Whether both halves are OK, or the case is informational by definition."""
        return {self.behavior, self.close} <= {"OK", "INFORMATIONAL"}


# --- the clients: each echoes over one connection, and does not come back ----------


def one_connection(url: str) -> resilient_ws.Session:
    """A session that ends with its first connection."""
    return resilient_ws.connect(
        url,
        max_message_size=MAX_SIZE,
        outbox=resilient_ws.Outbox(max_bytes=MAX_SIZE),
        reconnect=resilient_ws.Reconnect(stop=tenacity.stop_after_attempt(1)),
        wait_open=10.0,
    )


async def echo_over(session: resilient_ws.Session) -> None:
    # However it ends: whether that was right is for the server to say.
    with contextlib.suppress(resilient_ws.ResilientWSError):
        async with session:
            async for message in session:
                await session.send(message, only_if_open=True)


async def echo_resilient_ws(url: str) -> None:
    with mock.patch.object(engine, "MIN_SIZE", 0):
        await echo_over(one_connection(url))


async def echo_resilient_ws_fresh(url: str) -> None:
    session = one_connection(url)
    # What ``connect`` offers leaves our takeover on: many servers would take the offer
    # up, and what we send would shrink less for nothing.
    session._settings = attrs.evolve(
        session._settings,
        deflate=Offer(own_takeover=False),
    )
    with mock.patch.object(engine, "MIN_SIZE", 0):
        await echo_over(session)


async def echo_aiohttp(url: str) -> None:
    options: Any = {"max_msg_size": MAX_SIZE, "compress": 15}
    async with aiohttp.ClientSession() as http:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with http.ws_connect(url, **options) as link:
                async for message in link:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await link.send_str(message.data)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        await link.send_bytes(message.data)


async def echo_websockets(url: str, **options: Any) -> None:
    with contextlib.suppress(websockets.WebSocketException, OSError):
        async with websockets.connect(
            url, max_size=MAX_SIZE, proxy=None, **options
        ) as link:
            async for message in link:
                await link.send(message)


async def echo_websockets_fresh(url: str) -> None:
    offer = ClientPerMessageDeflateFactory(
        client_no_context_takeover=True, client_max_window_bits=True
    )
    await echo_websockets(url, compression=None, extensions=[offer])


CLIENTS: Final[dict[str, Echo]] = {
    "resilient_ws": echo_resilient_ws,
    "aiohttp": echo_aiohttp,
    "websockets": echo_websockets,
}
#: Those that can offer ``client_no_context_takeover``; aiohttp cannot.
FRESH_CLIENTS: Final[dict[str, Echo]] = {
    "resilient_ws": echo_resilient_ws_fresh,
    "websockets": echo_websockets_fresh,
}


async def offers_compression() -> bool:
    """Whether our client asks for permessage-deflate, seen from the other side."""

    def refuse(peer: Peer) -> None:
        peer.read_request()
        peer.answer("503 Service Unavailable")

    async with RawServer(refuse) as server:
        await echo_resilient_ws(server.url)
        [request] = server.requests
    return "permessage-deflate" in request.headers.get("sec-websocket-extensions", "")


# --- the server ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def fuzzing_server(
    cases: Sequence[str], reports: Path
) -> AsyncIterator[ServerProcess]:
    """Run these cases, and write what came of them to a folder."""
    if not KOSOKU.exists():
        missing("kosoku", "make conformance-server")
    include = [part for case in cases for part in ("--include", case)]
    command = [str(KOSOKU), "--mode", "fuzzingserver", *include]
    server = ServerProcess([*command, "--outdir", str(reports), "127.0.0.1:{port}"])
    async with server:
        yield server


async def count_of_cases(url: str) -> int:
    """Ask the server how many cases there are."""
    async with one_connection(f"{url}/getCaseCount") as session:
        return int(await session.receive())


async def verdicts(
    client: str, cases: Sequence[str], reports: Path, *, fresh: bool = False
) -> list[Verdict]:
    """Have a client judged.

    Args:
        client: Its name.
        cases: The numbers of the cases, or patterns of them.
        reports: A folder for what the server writes.
        fresh: Whether the client offers ``client_no_context_takeover``, if it can.
    """
    echo = CLIENTS[client]
    if fresh:
        echo = FRESH_CLIENTS.get(client, echo)
    async with fuzzing_server(cases, reports) as server:
        for number in range(1, await count_of_cases(server.url) + 1):
            async with asyncio.timeout(CASE_TIMEOUT):
                await echo(f"{server.url}/runCase?case={number}&agent={client}")
        await echo(f"{server.url}/updateReports?agent={client}")
        # It ends by itself, once its reports are written.
        await server.ended()
    index: Any = json.loads((reports / "index.json").read_text())
    return [
        Verdict(case=case, behavior=said["behavior"], close=said["behaviorClose"])
        for case, said in index[client].items()
    ]
