"""slack_sdk: a Socket Mode bot that answers events, and a Slack from its documentation.

The server gives URLs over HTTP, for one connection each, and sends ten events a second,
each on one of the open connections. One that is not answered within 3 s it sends again,
up to three times, as Slack does at longer intervals; while nobody is connected it keeps
them as long. Every 8 s it asks for a new connection, and closes the old one 2 s later.
"""

# ruff: noqa: ANN401 - the libraries give most of it no types
from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
from typing import Any, Final

from aiohttp import web
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import now_number, say


CONTEST: Final = Contest(
    name="slack",
    title="slack_sdk",
    packages=("slack_sdk", "aiohttp"),
    program="The Socket Mode bot of the documentation, which answers ten events a "
    "second; the server asks for a new connection every 8 s, and sends again what is "
    "not answered within 3 s, three times.",
    scheme="http",
    path="/api/",
)
RATE: Final = 10.0
PATIENCE: Final = 3.0
TRIES: Final = 4
RENEWAL: Final = 8.0
NOTICE: Final = 2.0


class Slack:
    """The server: its connections, and the events that wait for an answer."""

    def __init__(self) -> None:
        self.sockets: list[web.WebSocketResponse] = []
        self.first = asyncio.Event()
        self.names = itertools.count(1)
        self.waiting: dict[str, asyncio.Event] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self, request: web.Request) -> web.Response:
        # The way that the program came, through the proxy.
        url = f"ws://{request.headers['Host']}/link/?ticket={random.random()}"
        return web.json_response({"ok": True, "url": url})

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=2)
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.sockets.append(socket)
        self.first.set()
        renewing = asyncio.create_task(self.renew(socket))
        try:
            async for message in socket:
                answered = self.waiting.get(json.loads(message.data)["envelope_id"])
                if answered is not None:
                    answered.set()
        finally:
            renewing.cancel()
            if socket in self.sockets:
                self.sockets.remove(socket)
        return socket

    async def renew(self, socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(RENEWAL)
        bye = {"type": "disconnect", "reason": "refresh_requested"}
        with contextlib.suppress(ConnectionError):
            await socket.send_json(bye)
        await asyncio.sleep(NOTICE)
        self.sockets.remove(socket)
        await socket.close()

    async def deliver(self, number: int) -> None:
        """Send an event until it is answered, or given up."""
        event = {"type": "message", "number": number}
        payload = {"event_id": f"Ev{number}", "event": event}
        for attempt in range(TRIES):
            name = f"e{next(self.names)}"
            envelope = {"envelope_id": name, "type": "events_api", "payload": payload}
            self.waiting[name] = answered = asyncio.Event()
            with contextlib.suppress(ConnectionError):
                if self.sockets:
                    socket = random.choice(self.sockets)
                    await socket.send_json({**envelope, "retry_attempt": attempt})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), PATIENCE)
            del self.waiting[name]
            if answered.is_set():
                say("got", number)
                return

    async def publish(self) -> None:
        # What was given up before the program had started is not its loss.
        await self.first.wait()
        while True:
            await asyncio.sleep(1 / RATE)
            number = now_number(RATE)
            say("sent", number)
            task = asyncio.create_task(self.deliver(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


async def server(port: int) -> None:
    slack = Slack()
    app = web.Application()
    app.router.add_post("/api/apps.connections.open", slack.open)
    app.router.add_get("/link/", slack.link)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0.5).start()
    await slack.publish()


def client_of(way: str, url: str) -> Any:
    web_client = AsyncWebClient("xoxb-token", base_url=url)
    if way == "ours":
        import functools  # noqa: PLC0415

        from resilient_ws import Liveness, connect  # noqa: PLC0415
        from resilient_ws.adapters.slack import SocketModeClient  # noqa: PLC0415

        liveness = Liveness(ping_interval=2, ping_timeout=2)
        session = functools.partial(connect, liveness=liveness)
        return SocketModeClient("xapp-token", web_client, session=session, linger=1)
    from slack_sdk.socket_mode.aiohttp import (  # noqa: PLC0415
        SocketModeClient as Alone,
    )

    return Alone("xapp-token", web_client=web_client, ping_interval=2)


async def program(way: str, url: str) -> None:
    # The one line that differs.
    client = client_of(way, url)

    async def process(client: Any, request: Any) -> None:
        number = request.payload["event"]["number"]
        say("got", number)
        await client.send_socket_mode_response(
            SocketModeResponse(envelope_id=request.envelope_id)
        )
        say("sent", number)

    client.socket_mode_request_listeners.append(process)
    await client.connect()
    await asyncio.sleep(float("inf"))


if __name__ == "__main__":
    role, where = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server(int(where)) if role == "server" else program(role, where))
