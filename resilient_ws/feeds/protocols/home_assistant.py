"""The WebSocket API of Home Assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from resilient_ws import Fatal
from resilient_ws.feeds.commands import NumberedCommands
from resilient_ws.feeds.errors import RequestRefused
from resilient_ws.feeds.json import dumps, values_in_array
from resilient_ws.feeds.protocol import Ignore, Item, Reply, Route
from resilient_ws.feeds.protocols.answers import answer
from resilient_ws.feeds.protocols.credentials import Credential, fresh
from resilient_ws.feeds.source import Key, Source
from resilient_ws.policy._validate import check_seconds_or_none


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.channel import Channel
    from resilient_ws.feeds.commands import Asks
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.protocol.message import Message


#: The error of a command whose id is not greater than those before it.
_ID_REUSE: Final = "id_reuse"


class HomeAssistantError(RequestRefused):
    """Home Assistant refused a command; ``code`` is a word: ``"unauthorized"``."""


class HomeAssistant(NumberedCommands):
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

    Raises:
        TypeError: ``ping_interval`` is of another type.
        ValueError: It is out of range.
    """

    beat_answered = True

    def __init__(
        self, token: Credential[str], *, ping_interval: float | None = 30.0
    ) -> None:
        check_seconds_or_none("ping_interval", ping_interval)
        super().__init__(values_in_array)
        self._token = token
        self.beat_interval = ping_interval

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        await answer(connection, "type", "auth_required")
        token = await fresh(self._token)
        await connection.send(dumps({"type": "auth", "access_token": token}))
        said = await answer(connection, "type", "auth_ok", "auth_invalid")
        if said["type"] == "auth_invalid":
            raise Fatal("Home Assistant does not accept the token.")

    @override
    def write(self, number: int, kind: str, about: dict[str, Any]) -> Any:
        return {"id": number, "type": kind, **about}

    @override
    def read(self, data: Any) -> Route:
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

    @override
    def beat(self) -> Message:
        return self.command("ping")[1]

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
        return (await self._asked(channel, kind, rest))[1]

    async def _asked(
        self, asks: Asks, kind: str, rest: dict[str, Any]
    ) -> tuple[int, Any]:
        while True:
            number, command = self.command(kind, **rest)
            try:
                return number, await asks.ask(number, command)
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
            return (await self._asked(requests, kind, rest))[0]

        async def unsubscribe(requests: Requests, key: Key) -> None:
            await self._asked(requests, "unsubscribe_events", {"subscription": key})

        return Source(subscribe=subscribe, unsubscribe=unsubscribe)
