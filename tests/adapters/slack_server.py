"""Slack, from its documentation: an endpoint that gives URLs, and what they lead to.

``apps.connections.open`` is a real HTTP request, to a server in the loop of the test.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.testing import Peer


APP_TOKEN = "xapp-1-A1-1-secret"

HELLO = json.dumps(
    {
        "type": "hello",
        "num_connections": 1,
        "debug_info": {"host": "applink-1", "approximate_connection_time": 3600},
        "connection_info": {"app_id": "A1"},
    }
)


def envelope(number: int, kind: str = "events_api", **more: Any) -> str:
    event = {"type": "app_mention", "text": f"<@U1> {number}", "user": "U2", "ts": "1"}
    payload = {
        "type": "event_callback",
        "event_id": f"Ev{number}",
        "team_id": "T1",
        "authorizations": [],
        "event": event,
    }
    return json.dumps(
        {
            "envelope_id": f"e{number}",
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
            **more,
        }
    )


def bye(reason: str) -> str:
    return json.dumps({"type": "disconnect", "reason": reason, "debug_info": {}})


class SlackServer:
    """Both ends.

    Attributes:
        sockets: Where the URLs lead.
        errors: What ``apps.connections.open`` answers next, instead of a URL.
        given: The URLs that it gave.
        api: Its address, for ``AsyncWebClient(base_url=...)``.
    """

    def __init__(self, sockets: ScriptedServer) -> None:
        self.sockets = sockets
        self.errors: list[tuple[str, dict[str, str]]] = []
        self.given: list[str] = []
        self.asked = 0
        self.api = ""

    async def open(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.errors:
            error, headers = self.errors.pop(0)
            if error.startswith("<"):
                return web.Response(text=error, status=502, headers=headers)
            status = 429 if error == "ratelimited" else 200
            body = {"ok": False, "error": error}
            return web.json_response(body, status=status, headers=headers)
        if request.headers.get("Authorization") != f"Bearer {APP_TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        self.given.append(self.sockets.url(f"/link/?ticket={len(self.given) + 1}"))
        return web.json_response({"ok": True, "url": self.given[-1]})

    async def greeted(self, within: float = 10.0) -> Peer:
        """Accept a connection, on the newest URL, and greet it."""
        peer = await self.sockets.accept(within=within)
        assert peer.path in self.given[-1]
        await peer.send(HELLO)
        return peer


@contextlib.asynccontextmanager
async def slack_server() -> AsyncIterator[SlackServer]:
    async with assert_no_leaks(), ScriptedServer() as sockets:
        slack = SlackServer(sockets)
        app = web.Application()
        app.router.add_post("/api/apps.connections.open", slack.open)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            slack.api = f"http://{host}:{port}/api/"
            yield slack
        finally:
            await runner.cleanup()
