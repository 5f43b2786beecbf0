"""The WebSocket API of Home Assistant."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from resilient_ws import Fatal
from resilient_ws.feeds.errors import FeedError
from resilient_ws.feeds.json import dumps, is_array, loads
from resilient_ws.feeds.protocol import Ignore, Item, Plain, Reply
from resilient_ws.feeds.protocols.answers import answer
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds.channel import Channel
    from resilient_ws.feeds.protocol import Route
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key
    from resilient_ws.protocol.message import Message


#: The error of a command whose id is not greater than those before it.
_ID_REUSE: Final = "id_reuse"
#: Characters of a message that an error repeats.
_MESSAGE: Final = 200


class HomeAssistantError(FeedError):
    """Home Assistant refused a command.

    Attributes:
        code: Its code, such as ``"unauthorized"``.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        message = str(error.get("message"))[:_MESSAGE]
        self.code = str(error.get("code"))
        super().__init__(f"Home Assistant refused ({self.code}): {message!r}.")


class HomeAssistant(Plain):
    """Home Assistant.

    ::

        home = HomeAssistant(long_lived_token)
        url = "ws://homeassistant.local:8123/api/websocket"
        async with Channel(connect(url), home) as channel:
            states = await home.call(channel, "get_states")
            changes = home.events("state_changed")
            async for event in await channel.subscribe(changes):
                if isinstance(event, Gap):  # a drop: there is no history
                    states = await home.call(channel, "get_states")
                else:
                    print(event["data"]["entity_id"])

    A token that is refused ends the session with ``Fatal``, because Home Assistant may
    ban an address that comes with a wrong one again and again.

    Args:
        token: A long-lived access token; or an ``async`` callable that returns one.
        ping_interval: Seconds between two pings (default 30); a connection that does
            not answer them is replaced. ``None`` sends none.
    """

    beat_answered = True

    def __init__(
        self,
        token: str | Callable[[], Awaitable[str]],
        *,
        ping_interval: float | None = 30.0,
    ) -> None:
        self._token = token
        self.beat_interval = ping_interval
        self._ids = itertools.count(1)

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        await answer(connection, "type", "auth_required")
        token = await self._token() if callable(self._token) else self._token
        await connection.send(dumps({"type": "auth", "access_token": token}))
        said = await answer(connection, "type", "auth_ok", "auth_invalid")
        if said["type"] == "auth_invalid":
            raise Fatal("Home Assistant does not accept the token.")

    def route(self, message: Message) -> Sequence[Route]:
        """Tell where a message belongs, or several in an array."""
        data = loads(message)
        return [_one(each) for each in (data if is_array(data) else [data])]

    @override
    def beat(self) -> Message:
        return self._command("ping")[1]

    def _command(self, kind: str, **rest: Any) -> tuple[int, Message]:
        number = next(self._ids)
        return number, dumps({"id": number, "type": kind, **rest})

    async def call(self, channel: Channel, kind: str, **rest: Any) -> Any:
        """Send a command, and return its result.

        Args:
            channel: The channel of this protocol.
            kind: The type of the command, such as ``"call_service"``.
            rest: What it needs, such as ``domain="light"``.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in time.
            HomeAssistantError: It was refused.
            ResilientWSError: The session has ended.

        Cancellation:
            Home Assistant may carry it out.
        """
        return (await self._asked(channel.ask, kind, rest))[1]

    async def _asked(
        self,
        ask: Callable[[int, Message], Awaitable[Any]],
        kind: str,
        rest: dict[str, Any],
    ) -> tuple[int, Any]:
        while True:
            number, command = self._command(kind, **rest)
            try:
                return number, await ask(number, command)
            except HomeAssistantError as error:
                if error.code != _ID_REUSE:
                    raise
                # It had waited for a connection, and others were sent before it.

    def events(self, event_type: str | None = None) -> Source[dict[str, Any], Any]:
        """Return the source of the events of a type, or of all."""
        rest = {} if event_type is None else {"event_type": event_type}
        return self.subscription("subscribe_events", **rest)

    def subscription(self, kind: str, **rest: Any) -> Source[dict[str, Any], Any]:
        """Return the source of what a command subscribes to.

        Args:
            kind: The command, such as ``"subscribe_trigger"``.
            rest: What it needs, such as ``trigger={...}``.
        """

        async def subscribe(requests: Requests) -> Key:
            return (await self._asked(requests.ask, kind, rest))[0]

        async def unsubscribe(requests: Requests, key: Key) -> None:
            wish = {"subscription": key}
            await self._asked(requests.ask, "unsubscribe_events", wish)

        return Source(subscribe=subscribe, unsubscribe=unsubscribe)


def _one(data: dict[str, Any]) -> Route:
    match data["type"]:
        case "event":
            return Item(data["id"], data["event"])
        case "result":
            refused = None if data["success"] else HomeAssistantError(data["error"])
            return Reply(data["id"], data.get("result"), refused)
        case "pong":
            return Ignore()
        case _:
            return Ignore(odd="a message of an unknown type")
