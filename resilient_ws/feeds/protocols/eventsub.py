"""Twitch's EventSub over WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
from typing_extensions import override

from resilient_ws.feeds.errors import StreamEnded, quoted
from resilient_ws.feeds.json import loads
from resilient_ws.feeds.protocol import Ended, Ignore, Item, Plain, Rotate, Route
from resilient_ws.feeds.protocols.answers import answer, part
from resilient_ws.feeds.protocols.kept import Kept
from resilient_ws.feeds.protocols.urls import NextURL


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key, Source
    from resilient_ws.protocol.message import Message


#: Asks Twitch for a subscription, for a session's id, and returns the subscription's.
Subscribe: TypeAlias = Callable[[str], Awaitable[str]]
#: Tells Twitch that a subscription is not needed any more, by its id.
Unsubscribe: TypeAlias = Callable[[str], Awaitable[object]]
#: Seconds of grace for a keepalive.
_GRACE: Final = 2.0


class EventSub(Plain):
    """Twitch's EventSub.

    ::

        async def follows(session_id: str) -> str:  # POST helix/eventsub/subscriptions
            transport = {"method": "websocket", "session_id": session_id}
            reply = await helix({"type": "channel.follow", "transport": transport})
            return reply["data"][0]["id"]

        twitch = EventSub()
        quiet = Liveness(ping_interval=None)  # Twitch allows a client nothing but pongs
        async with Channel(connect(twitch.url, liveness=quiet), twitch) as channel:
            async for item in await channel.subscribe(twitch.subscription(follows)):
                if not isinstance(item, Gap):  # a drop: Twitch has no history
                    print(item["payload"]["event"])

    A connection that brings nothing for longer than Twitch promises is replaced. When
    Twitch asks for a new one (``session_reconnect``), the session closes the old one
    *before* it dials the URL that Twitch names. The subscriptions go on there, but what
    Twitch sends in between is lost: each has a ``Gap``.

    Args:
        url: The URL, perhaps with another ``keepalive_timeout_seconds``.

    Attributes:
        session_id: The id of the session, which Twitch gives to each connection.
        url: Where to dial: pass it to ``connect``.
    """

    beat_answered = True

    def __init__(self, url: str = "wss://eventsub.wss.twitch.tv/ws") -> None:
        self.url = NextURL(url)
        self.session_id = ""
        self._kept = Kept()

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        self.url.reached()
        self._kept.opened(present=self.url.follows)
        self.url.follow(None)  # Twitch's URL is for one connection
        welcome = await answer(connection, "metadata.message_type", "session_welcome")
        session = "payload", "session"
        self.session_id = part(welcome, str, *session, "id")
        keepalive = part(welcome, int, *session, "keepalive_timeout_seconds")
        self.beat_interval = keepalive + _GRACE

    def route(self, message: Message) -> Route:
        """Tell where a message belongs."""
        data = loads(message)
        about, payload = data["metadata"], data["payload"]
        match about["message_type"]:
            case "notification" if "message_id" in about:
                return Item(payload["subscription"]["id"], data)
            case "session_keepalive":
                return Ignore()
            case "session_reconnect":
                self.url.follow(payload["session"]["reconnect_url"])
                return Rotate("Twitch asks for a new one")
            case "revocation":
                key = payload["subscription"]["id"]
                self._kept.end(key)
                status = quoted(payload["subscription"]["status"])
                return Ended(key, StreamEnded(f"Twitch ended it: {status}."))
            case _:
                return Ignore(odd="a message of an unknown type, or without its id")

    def subscription(
        self, subscribe: Subscribe, unsubscribe: Unsubscribe | None = None
    ) -> Source[dict[str, Any], Any]:
        """Return the source of a subscription; its items are notifications.

        Args:
            subscribe: Asks Twitch for the subscription (Create EventSub Subscription),
                for the id of a session, and returns the id of the subscription. It is
                called again on each new session. An ``OSError`` that it raises has it
                called again after a pause; anything else ends the subscription.
            unsubscribe: Deletes a subscription, given its id.
        """

        async def subscribed(_: Requests) -> Key:
            return await subscribe(self.session_id)

        async def ended(_: Requests, key: Key) -> None:
            if unsubscribe is not None:
                await unsubscribe(str(key))

        return attrs.evolve(self._kept.source(subscribed, ended), identity=_id_of)


def _id_of(item: dict[str, Any]) -> str:
    return str(item["metadata"]["message_id"])
