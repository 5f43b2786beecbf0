"""Centrifugo's client protocol, version 2, in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from resilient_ws.feeds.commands import NumberedCommands
from resilient_ws.feeds.errors import RequestRefused, StreamEnded, quoted
from resilient_ws.feeds.json import values_by_line
from resilient_ws.feeds.protocol import Answer, Ended, Ignore, Item, Left, Reply, Route
from resilient_ws.feeds.protocols.answers import object_part
from resilient_ws.feeds.protocols.credentials import Token, fresh
from resilient_ws.feeds.protocols.urls import NextURL
from resilient_ws.feeds.recovery import Position, Publication, Recovered, recovering


if TYPE_CHECKING:
    from collections.abc import Awaitable

    from resilient_ws import Connection
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Source


#: Close codes after which Centrifugo says not to dial again.
_FATAL: Final = frozenset({*range(3500, 4000), *range(4500, 5000)})
#: Unsubscribe codes from this one on ask to subscribe again.
_AGAIN: Final = 2500
#: Seconds of grace for a ping.
_GRACE: Final = 10.0


class CentrifugoError(RequestRefused):
    """The server answered a command with an error."""

    TEMPORARY = frozenset({109})  # a token that has expired


class Centrifugo(NumberedCommands):
    """Centrifugo.

    ::

        async def token() -> str:  # asked for on each connection
            return await fresh_token()

        centrifugo = Centrifugo("wss://example.com/connection/websocket", token)
        async with Channel(connect(centrifugo.url), centrifugo) as channel:
            await channel.ask(*centrifugo.command("publish", channel="news", data=1))
            async for item in await channel.subscribe(centrifugo.channel("news")):
                if isinstance(item, Publication):  # else a Gap
                    print(item.position, item.data)

    In a channel with recovery, a drop has no gap as long as Centrifugo's history goes
    back to it: it is asked for what came since the last item. What a slow consumer
    left is asked for too, where the client may read the history.

    Args:
        url: The URL.
        token: The connection's token, if any.
        data: Sent with each login.

    Attributes:
        url: Where to dial: pass it to ``connect``.
    """

    beat_answered = True

    def __init__(self, url: str, token: Token = None, data: Any = None) -> None:
        super().__init__(values_by_line)
        self.url = NextURL(url, _FATAL)
        self._token, self._data = token, data
        self._pong = False

    @override
    async def login(self, connection: Connection, resume: bool) -> list[Left]:
        self.url.reached()
        token = await fresh(self._token)
        about = {"token": token, "data": self._data, "name": "resilient_ws"}
        reply, left = await self.log_in(connection, "connect", **about)
        granted = object_part(reply, "connect")
        self._pong, ping = granted.get("pong") is True, granted.get("ping")
        self.beat_interval = ping + _GRACE if isinstance(ping, int) and ping else None
        return left

    @override
    def read(self, data: Any) -> Route:
        if data == {}:
            return Answer("{}") if self._pong else Ignore()
        if number := data.get("id"):
            failed = CentrifugoError(data["error"]) if "error" in data else None
            return Reply(number, data, failed)
        match data["push"]:
            case {"channel": key, "pub": publication}:
                return Item(key, publication)
            case {"channel": key, "unsubscribe": {"code": code, **rest}}:
                why = f"Centrifugo ended it: {code} {quoted(rest.get('reason'))}."
                return Ended(key, StreamEnded(why), again=code >= _AGAIN)
            case {}:
                return Ignore()  # joins and leaves; or a close code follows
            case _:
                return Ignore(odd="a push that is none")

    @override
    def write(self, number: int, kind: str, about: dict[str, Any]) -> Any:
        given = {name: value for name, value in about.items() if value is not None}
        return {"id": number, kind: given}

    def channel(self, name: str, token: Token = None) -> Source[Publication, Any]:
        """Return the source of a channel.

        Args:
            name: The channel.
            token: The subscription's token, if it needs one.
        """

        async def ask(requests: Requests, kind: str, **about: Any) -> Any:
            return (await self.ask(requests, kind, channel=name, **about))[kind]

        async def subscribe(requests: Requests, since: Position | None) -> Recovered:
            about = {} if since is None else {"recover": True, **since._asdict()}
            answer = await ask(requests, "subscribe", token=await fresh(token), **about)
            missed = answer.get("publications", ()) if answer.get("recovered") else None
            position = Position(answer.get("epoch", ""), answer.get("offset", 0))
            positioned = answer.get("recoverable") or answer.get("positioned")
            return Recovered(name, position if positioned else None, missed)

        async def history(requests: Requests, after: Position, limit: int) -> list[Any]:
            since = after._asdict()
            page = await ask(requests, "history", since=since, limit=limit)
            return list(page.get("publications", ()))

        def unsubscribe(requests: Requests) -> Awaitable[object]:
            return ask(requests, "unsubscribe")

        return recovering(subscribe, history, _parts, unsubscribe, name=name)


def _parts(publication: dict[str, Any]) -> tuple[Any, int, dict[str, Any]]:
    info = dict(publication)
    return info.pop("data", None), info.pop("offset", 0), info
