"""hass-client, a library for Home Assistant that is given its aiohttp session.

The server is ours: it speaks as the documentation of Home Assistant's WebSocket API
says (login, results, events), for Home Assistant itself is too large to start here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any, Final

import aiohttp
from aiohttp import web
from hass_client import HomeAssistantClient
from hass_client.exceptions import BaseHassClientError

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import now_number, say


CONTEST: Final = Contest(
    name="home_assistant",
    title="hass-client (Home Assistant)",
    packages=("hass-client", "aiohttp"),
    program="A subscription to events, a service call ten times a second, and a user's "
    "loop that connects again at once, for the library does not. The library pings "
    "every 55 s, which cannot be set.",
    path="/api/websocket",
)
RATE: Final = 10.0


async def server(port: int) -> None:
    subscribed: dict[web.WebSocketResponse, int] = {}

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=2)
        await socket.prepare(request)
        await socket.send_json({"type": "auth_required", "ha_version": "2026.11.0"})
        await socket.receive_json()
        await socket.send_json({"type": "auth_ok", "ha_version": "2026.11.0"})
        try:
            async for message in socket:
                asked = json.loads(message.data)
                if asked["type"] == "subscribe_events":
                    subscribed[socket] = asked["id"]
                else:
                    say("got", asked["service_data"]["number"])
                result = {"id": asked["id"], "type": "result", "success": True}
                await socket.send_json({**result, "result": None})
        finally:
            subscribed.pop(socket, None)
        return socket

    app = web.Application()
    app.router.add_get("/api/websocket", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0.5).start()
    while True:
        await asyncio.sleep(1 / RATE)
        number = now_number(RATE)
        say("sent", number)
        event = {"event_type": "tick", "data": {"number": number}}
        for socket, key in tuple(subscribed.items()):
            with contextlib.suppress(ConnectionResetError):
                await socket.send_json({"id": key, "type": "event", "event": event})


def told(event: dict[str, Any]) -> None:
    say("got", event["data"]["number"])


async def program(way: str, url: str) -> None:
    async with aiohttp.ClientSession() as http:
        # The one line that differs.
        if way == "ours":
            from resilient_ws import Liveness  # noqa: PLC0415
            from resilient_ws.adapters.aiohttp import resilient  # noqa: PLC0415

            quick = Liveness(ping_interval=2, ping_timeout=2)
            session = resilient(http, liveness=quick)
        else:
            session = http
        while True:
            # A loop that everybody writes first.
            try:
                async with HomeAssistantClient(url, "token", session) as client:
                    await client.subscribe_events(told, "tick")
                    while client.connected:
                        number = now_number(RATE)
                        await client.call_service("test", "count", {"number": number})
                        say("sent", number)
                        await asyncio.sleep(1 / RATE)
            except (BaseHassClientError, OSError, TypeError, asyncio.CancelledError):
                # What is cancelled is a call whose connection ended.
                continue


if __name__ == "__main__":
    role, where = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server(int(where)) if role == "server" else program(role, where))
