"""gql: a subscription that its documentation's reconnecting session keeps up.

The server is the npm package graphql-ws. Its ticks are numbers of 10 ms, whoever
listens, and it can be asked for those of the past.
"""

# ruff: noqa: ANN401 - the libraries give most of it no types
from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import tenacity
from gql import Client, GraphQLRequest, gql
from gql.transport.websockets import WebsocketsTransport

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import ROOT, say


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


#: Ticks a second, and how many a program can have seen.
RATE: Final = 100
ALL: Final = RATE * 300
TICKS: Final = gql("subscription { ticks }")
MISSED: Final = "query($a: Float!, $u: Float) { history(after: $a, until: $u) }"


async def ticks(_: int) -> Sequence[int]:
    """Return the ticks there were until a second ago."""
    until = int((time.time() - 1) * RATE)
    return range(until - ALL, until)


CONTEST: Final = Contest(
    name="gql",
    title="gql",
    packages=("gql", "websockets"),
    program="A subscription through `connect_async(reconnecting=True)`, made anew by "
    "`tenacity` when it fails, as gql's documentation has it; the server is "
    "graphql-ws, with a hundred ticks a second, and `history=` asks it for those that "
    "were missed.",
    server=("node", str(ROOT / "tests/servers/node/serve_graphql.js"), "{port}"),
    made=ticks,
)


def transport(way: str, url: str) -> Any:
    if way == "alone":
        keepalive = {"ping_interval": 2, "ping_timeout": 2}
        return WebsocketsTransport(url, connect_args=keepalive)
    from resilient_ws import Liveness, connect  # noqa: PLC0415
    from resilient_ws.adapters.gql import ResilientTransport  # noqa: PLC0415
    from resilient_ws.feeds import consecutive  # noqa: PLC0415
    from resilient_ws.feeds.protocols import GraphQL  # noqa: PLC0415

    def session() -> Any:
        liveness = Liveness(ping_interval=2, ping_timeout=2)
        return connect(url, subprotocols=[GraphQL.SUBPROTOCOL], liveness=liveness)

    def tick_of(result: Any) -> int:
        return int(result["data"]["ticks"])

    async def missed(after: int, until: int | None) -> AsyncIterator[Any]:
        asked = GraphQLRequest(MISSED, variable_values={"a": after, "u": until})
        found = await ours.execute(asked)
        for tick in (found.data or {})["history"]:
            yield {"data": {"ticks": tick}}

    def history(_: Any, source: Any) -> Any:
        follows = consecutive(tick_of)
        return attrs.evolve(source, cursor_of=tick_of, follows=follows, backfill=missed)

    ours = ResilientTransport(session, history=history)
    return ours


async def program(way: str, url: str) -> None:
    # The one line that differs.
    client: Any = Client(transport=transport(way, url))
    session = await client.connect_async(reconnecting=True)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(Exception),
        wait=tenacity.wait_exponential(max=60),
    )
    async def follow() -> None:
        async for result in session.subscribe(TICKS):
            say("got", int(result["ticks"]))

    await follow()


if __name__ == "__main__":
    role, where = sys.argv[1:]
    asyncio.run(program(role, where))
