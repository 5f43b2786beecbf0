"""websockets: its client that reconnects by iterating, with a subscriber's program."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final, Protocol

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import now_number, say


CONTEST: Final = Contest(
    name="websockets",
    title="websockets",
    packages=("websockets",),
    program="A subscriber in `async for websocket in connect(...)`, and a sender.",
)
RATE: Final = 10.0


async def server(port: int) -> None:
    clients: set[ServerConnection] = set()

    async def serve_one(connection: ServerConnection) -> None:
        clients.add(connection)
        try:
            async for message in connection:
                say("got", int(message))
        finally:
            clients.discard(connection)

    async with serve(serve_one, "127.0.0.1", port, ping_interval=2, ping_timeout=2):
        while True:
            await asyncio.sleep(1 / RATE)
            number = now_number(RATE)
            say("sent", number)
            broadcast(clients, str(number))


class Sender(Protocol):
    async def send(self, message: str) -> None: ...


async def report(websocket: Sender) -> None:
    while True:
        number = now_number(RATE)
        await websocket.send(str(number))
        say("sent", number)
        await asyncio.sleep(1 / RATE)


async def program(way: str, url: str) -> None:
    # The one line that differs.
    if way == "ours":
        from resilient_ws.adapters.websockets import connect  # noqa: PLC0415
    else:
        from websockets import connect  # type: ignore[assignment] # noqa: PLC0415
    from websockets import ConnectionClosed  # noqa: PLC0415

    async for websocket in connect(url, ping_interval=2, ping_timeout=2):
        reporting = asyncio.create_task(report(websocket))
        try:
            async for message in websocket:
                say("got", int(message))
        except ConnectionClosed:
            continue
        finally:
            reporting.cancel()
            with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
                await reporting


if __name__ == "__main__":
    role, where = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server(int(where)) if role == "server" else program(role, where))
