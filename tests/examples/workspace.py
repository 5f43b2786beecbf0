"""A Slack workspace with one app in Socket Mode, as https://docs.slack.dev tells of it.

``apps.connections.open`` gives a URL for one connection. The connection begins with a
``hello``, and ends some time after a ``disconnect`` whose reason is ``warning``, or soon
after one whose reason is ``refresh_requested``. Of several connections, any may get an
event. An event that was not acknowledged where it was sent is sent again.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from resilient_ws.testing import ClientGone, ScriptedServer
from tests.record import until
from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import Peer

APP_TOKEN, BOT_TOKEN = "xapp-1-A1-secret", "xoxb-1-secret"


class Workspace:
    """The workspace: what it sent, what was acknowledged, and what the bot posted."""

    def __init__(self) -> None:
        #: Where the app is to connect; ``None`` for the workspace itself.
        self.link_port: int | None = None
        self.given = 0
        self.links: list[Peer] = []
        #: The number of the link on which each envelope was sent, and acknowledged.
        self.sent: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.posted: list[dict[str, Any]] = []
        #: The errors of the next requests.
        self.refusals: list[str] = []
        self._used: set[str] = set()
        self._sockets = ScriptedServer(self._play)
        self._mentions = 0

    async def __aenter__(self) -> Self:
        await self._sockets.__aenter__()
        self.port = self._sockets.port
        application = web.Application()
        application.router.add_post("/api/apps.connections.open", self._open)
        application.router.add_post("/api/chat.postMessage", self._post)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.api = f"http://{HOST}:{self._runner.addresses[0][1]}/api"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        await self._runner.cleanup()
        await self._sockets.__aexit__(kind, error, None)

    def environment(self, **more: str) -> dict[str, str]:
        """What the bot is started with."""
        tokens = {"SLACK_APP_TOKEN": APP_TOKEN, "SLACK_BOT_TOKEN": BOT_TOKEN}
        return {"SLACK_API": self.api, **tokens, **more}

    # What the workspace does.

    async def mention(self, link: int = -1, *, again: str | None = None) -> str:
        """Mention the bot on a link; return the id of the event, which may come again."""
        if again is None:
            self._mentions += 1
        event_id = again or f"Ev{self._mentions}"
        number = int(event_id[2:])
        envelope_id = f"{event_id}-{len(self.sent)}"
        event = {
            "type": "app_mention",
            "user": f"U{number}",
            "text": f"<@B1> {number}",
            "ts": f"{number}.000100",
            "channel": "C1",
            "event_ts": f"{number}.000100",
        }
        payload = {"type": "event_callback", "event": event, "event_id": event_id}
        await self.send(envelope_id, payload, link, retry=again is not None)
        return event_id

    async def send(
        self, envelope_id: str, payload: dict[str, Any], link: int, *, retry: bool
    ) -> None:
        """Send an envelope of the Events API."""
        peer = self.links[link]
        self.sent[envelope_id] = self.links.index(peer)
        about = {"accepts_response_payload": False, "retry_attempt": int(retry)}
        envelope = {"envelope_id": envelope_id, "type": "events_api", **about}
        await peer.send(json.dumps({**envelope, "payload": payload}))

    async def complain(self, link: int = -1) -> None:
        """Tell that the app gets too many events: a payload without an event."""
        payload = {"type": "app_rate_limited", "team_id": "T1", "api_app_id": "A1"}
        await self.send(f"rate-{len(self.sent)}", payload, link, retry=False)

    async def disconnect(self, reason: str, link: int = -1) -> None:
        """Tell that a link will end."""
        debug = {"host": "applink-1"}
        message = {"type": "disconnect", "reason": reason, "debug_info": debug}
        await self.links[link].send(json.dumps(message))

    async def linked(self, count: int, *, within: float = 15.0) -> None:
        """Wait for the link of that number."""
        await until(lambda: len(self.links) >= count, within=within)

    async def answered(self, count: int, *, within: float = 15.0) -> None:
        """Wait until so many answers were posted."""
        await until(lambda: len(self.posted) >= count, within=within)

    # The sockets.

    async def _play(self, peer: Peer) -> None:
        if peer.path in self._used:
            await peer.reject(404)
            return
        self._used.add(peer.path)
        await peer.accept()
        info = {"num_connections": sum(not other.gone for other in self.links) + 1}
        await peer.send(json.dumps({"type": "hello", **info, "debug_info": {}}))
        self.links.append(peer)
        number = len(self.links) - 1
        with contextlib.suppress(ClientGone):
            while True:
                answer = json.loads(await peer.receive())
                self.acknowledged[answer["envelope_id"]] = number

    # The Web API.

    async def _open(self, request: web.Request) -> web.Response:
        return self._answered(request, APP_TOKEN, lambda: {"url": self.ticket()})

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()

        def post() -> dict[str, Any]:
            self.posted.append(body)
            return {"channel": body["channel"], "ts": "1.2"}

        return self._answered(request, BOT_TOKEN, post)

    def _answered(
        self, request: web.Request, token: str, what: Callable[[], dict[str, Any]]
    ) -> web.Response:
        """Answer as the Web API does: always 200, and ``ok`` or an ``error``."""
        if request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if self.refusals:
            return web.json_response({"ok": False, "error": self.refusals.pop(0)})
        return web.json_response({"ok": True, **what()})

    def ticket(self) -> str:
        """Return a URL for one connection."""
        self.given += 1
        port = self.link_port or self.port
        return f"ws://{HOST}:{port}/link/?ticket={self.given}&app_id=A1"
