"""The fuzzing server that judges a client, and echo clients for it to judge.

``kosoku`` runs the Autobahn cases. It lives in a virtual environment of its own
(``make conformance-server``), and is started by ``judge.py``. A client asks for the
number of cases, lets each be run against it over a connection of its own, echoing
every message, and at last asks for the reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
import attrs
import tenacity
import websockets

import resilient_ws
from tests.servers.process import ROOT, ServerProcess, missing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path


KOSOKU: Final = ROOT / ".cache" / "kosoku" / "bin"
JUDGE: Final = ROOT / "tests" / "conformance" / "judge.py"
#: Cases of RFC 6455 (there is no 8).
PLAIN: Final = tuple(f"{number}.*" for number in (*range(1, 8), 9, 10))
#: The kinds of cases of RFC 7692: five sorts of data, seven of parameters.
COMPRESSED: Final = (
    *(f"12.{number}" for number in range(1, 6)),
    *(f"13.{number}" for number in range(1, 8)),
)
#: The cases send up to 16 MiB.
MAX_SIZE: Final = 64 * 1024 * 1024
#: The longest that one case may take, in seconds: more than any grants itself (480 s),
#: so that it is the server that loses patience.
CASE_TIMEOUT: Final = 500.0

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
#
# None of them sends pings of its own: the case files of compression take a ping for
# the end of the case, and a slow client would fail by it.


def one_connection(url: str) -> resilient_ws.Session:
    """A session that ends with its first connection, however long that lasted."""
    # Were it stable before the case is over, another would follow it, and begin the
    # case again.
    once = resilient_ws.Reconnect(
        stop=tenacity.stop_after_attempt(1), stable_after=2 * CASE_TIMEOUT
    )
    return resilient_ws.connect(
        url,
        liveness=resilient_ws.Liveness(ping_interval=None),
        max_message_size=MAX_SIZE,
        outbox=resilient_ws.Outbox(max_bytes=MAX_SIZE),
        reconnect=once,
        wait_open=10.0,
    )


async def echo_resilient_ws(url: str) -> None:
    # However it ends: whether that was right is for the server to say.
    with contextlib.suppress(resilient_ws.ResilientWSError):
        async with one_connection(url) as session:
            async for message in session:
                await session.send(message, only_if_open=True)


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


async def echo_websockets(url: str) -> None:
    with contextlib.suppress(websockets.WebSocketException, OSError):
        async with websockets.connect(
            url, max_size=MAX_SIZE, ping_interval=None, proxy=None
        ) as link:
            async for message in link:
                await link.send(message)


CLIENTS: Final[dict[str, Echo]] = {
    "resilient_ws": echo_resilient_ws,
    "aiohttp": echo_aiohttp,
    "websockets": echo_websockets,
}


# --- the server ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def fuzzing_server(
    cases: Sequence[str], reports: Path
) -> AsyncIterator[ServerProcess]:
    """Run these cases, and write what came of them to a folder."""
    if not (KOSOKU / "kosoku").exists():
        missing("kosoku", "make conformance-server")
    include = [part for case in cases for part in ("--include", case)]
    command = [str(KOSOKU / "python"), str(JUDGE), "--mode", "fuzzingserver", *include]
    server = ServerProcess([*command, "--outdir", str(reports), "127.0.0.1:{port}"])
    async with server:
        yield server


async def count_of_cases(url: str) -> int:
    """Ask the server how many cases there are."""
    async with one_connection(f"{url}/getCaseCount") as session:
        return int(await session.receive())


async def verdicts(
    client: str, cases: Sequence[str], reports: Path, *, echo: Echo | None = None
) -> list[Verdict]:
    """Have a client judged.

    Args:
        client: Its name.
        cases: The numbers of the cases, or patterns of them.
        reports: A folder for what the server writes.
        echo: What the client does instead of what it does in ``CLIENTS``.
    """
    run = CLIENTS[client] if echo is None else echo
    async with fuzzing_server(cases, reports) as server:
        count = await count_of_cases(server.url)
        for number in range(1, count + 1):
            # Cut off, it is judged by what it did until then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CASE_TIMEOUT):
                    await run(f"{server.url}/runCase?case={number}&agent={client}")
        await run(f"{server.url}/updateReports?agent={client}")
        # It ends by itself, once its reports are written.
        await server.ended()
    index: Any = json.loads((reports / "index.json").read_text())
    found = [
        Verdict(case=case, behavior=said["behavior"], close=said["behaviorClose"])
        for case, said in index[client].items()
    ]
    assert len(found) == count, f"{count} cases, {len(found)} verdicts"
    return found
