"""The gateway of Discord, version 10, in JSON."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from resilient_ws.feeds.errors import LoginRefused
from resilient_ws.feeds.json import dumps, loads
from resilient_ws.feeds.protocol import Answer, Ignore, Plain, Reset, Rotate, Route
from resilient_ws.feeds.protocols.answers import answer, object_part, part
from resilient_ws.feeds.protocols.pushed import Pushed
from resilient_ws.feeds.protocols.urls import MAX_VAIN, NextURL
from resilient_ws.policy._validate import whole_number


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.protocols.pushed import Place, PushedEvent
    from resilient_ws.feeds.source import Source
    from resilient_ws.protocol.message import Message


# Opcodes of what is sent.
_HEARTBEAT, _IDENTIFY, _RESUME = 1, 2, 6
#: Close codes after which Discord says not to dial again, and not to resume.
_FATAL: Final = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
_FORGOTTEN: Final = frozenset({4007, 4009})


class Discord(Plain):
    """The gateway of Discord.

    ::

        gateway = Discord("wss://gateway.discord.gg/?v=10&encoding=json", token, 513)
        async with Channel(connect(gateway.url), gateway) as channel:
            events = gateway.events("MESSAGE_CREATE", "MESSAGE_DELETE")
            async for event in await channel.subscribe(events):
                if isinstance(event, Gap):  # Discord did not resume
                    await read_the_channels_again()
                else:
                    await handle(event.type, event.data)

    A drop is resumed, and Discord sends what was missed: there is a ``Gap`` only where
    it does not resume, or leaves out a number. A login that it says can never succeed
    ends the session with ``Fatal``, because a bot has a thousand logins a day.

    Args:
        url: The URL of Get Gateway Bot, with ``v=10`` and ``encoding=json``.
        token: The token of the bot.
        intents: The intents, as a sum.
        identify: More for the login, such as ``shard=[0, 1]``.

    Raises:
        TypeError: ``intents`` is of another type.
        ValueError: It is out of range.

    Attributes:
        ready: The data of the newest ``READY`` event; empty before the first.
        url: Where to dial: pass it to ``connect``.
    """

    beat_answered = True
    #: After 1000, Discord would not resume.
    close_code = 4000

    def __init__(self, url: str, token: str, intents: int, **identify: Any) -> None:
        whole_number("intents", intents, at_least=0)
        names = {"os": sys.platform, "browser": "resilient_ws", "device": "python"}
        self._token = {"token": token}
        self._identify = {"intents": intents, "properties": names} | identify
        self._interval = 0.0
        self._pushed = Pushed()
        self.ready: dict[str, Any] = {}
        self.url = NextURL(url, _FATAL, _FORGOTTEN, on_forgotten=self._pushed.end)

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        self.url.reached()
        hello = await answer(connection, "op", 10)
        self._interval = part(hello, int, "d", "heartbeat_interval") / 1000
        # The first heartbeat comes at a time of chance.
        self.beat_interval = self._interval * random.SystemRandom().random()
        pushed = self._pushed
        if resume and pushed.session and self.url.vain <= MAX_VAIN:
            known = {"session_id": pushed.session, "seq": pushed.number}
            await connection.send(_message(_RESUME, self._token | known))
            return  # what was missed comes next, and may be more than a login can hold
        pushed.end()
        await connection.send(_message(_IDENTIFY, self._token | self._identify))
        while (ready := await answer(connection, "op", 0, 1, 7, 9))["op"] == 1:
            await connection.send(self.beat())
        if ready["op"] != 0:
            raise LoginRefused("Discord does not accept a login now.")
        self.ready = object_part(ready, "d")
        pushed.begin(part(self.ready, str, "session_id"), part(ready, int, "s"))
        self.url.follow(self.ready.get("resume_gateway_url"), with_query=True)

    def route(self, message: Message) -> Route:
        """Tell where a message belongs."""
        data = loads(message)
        match data["op"]:
            case 0:
                self.url.worked()
                return self._pushed.take(data["t"], data["d"], data["s"])
            case 1:
                return Answer(self.beat())
            case 7:
                return Rotate("Discord asks for a new one")
            case 9:
                if data["d"] is not True:
                    self.url.follow(None)
                return Reset("Discord ended its session", resume=data["d"] is True)
            case 10 | 11:
                return Ignore()
            case _:
                return Ignore(odd="an unknown opcode")

    @override
    def beat(self) -> Message:
        self.beat_interval = self._interval
        return _message(_HEARTBEAT, self._pushed.number)

    def events(self, *types: str) -> Source[PushedEvent, Place]:
        """Return the source of the events of some types, in the order of the gateway.

        Args:
            types: Such as ``"MESSAGE_CREATE"``; none for all that no other subscription
                has.
        """
        return self._pushed.source(*types)


def _message(opcode: int, data: Any) -> Message:
    return dumps({"op": opcode, "d": data})
