"""Centrifugo's client protocol, version 2, in JSON."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs
from typing_extensions import override

from resilient_ws import Fatal
from resilient_ws.feeds.errors import (
    BackfillFailed,
    FeedError,
    LoginRefused,
    StreamEnded,
    StreamReset,
)
from resilient_ws.feeds.json import dumps, loads, object_in
from resilient_ws.feeds.protocol import Answer, Ended, Ignore, Item, Plain, Reply
from resilient_ws.feeds.protocols.answers import part
from resilient_ws.feeds.protocols.urls import NextURL
from resilient_ws.feeds.source import Continuity, Source


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.protocol import Route
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key
    from resilient_ws.protocol.message import Message


#: A token, or an ``async`` callable that returns a fresh one.
Token: TypeAlias = str | Callable[[], Awaitable[str]] | None
Object: TypeAlias = dict[str, Any]
#: The epoch of a channel's stream, and the offset of a publication in it.
Position: TypeAlias = tuple[str, int]

#: Close codes after which Centrifugo says not to dial again.
_FATAL: Final = frozenset({*range(3500, 4000), *range(4500, 5000)})
#: Unsubscribe codes from this one on ask to subscribe again.
_AGAIN: Final = 2500
_TOKEN_EXPIRED: Final = 109
#: Seconds of grace for a ping, publications in one page of history, and characters of a
#: reason that an error repeats.
_GRACE, _PAGE, _REASON = 10.0, 100, 60


class CentrifugoError(FeedError):
    """The server answered a command with an error.

    Attributes:
        code: Its code.
        temporary: Whether it may answer otherwise later.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        code = error.get("code")
        self.code = code if isinstance(code, int) else 0
        message = str(error.get("message"))[:_REASON]
        super().__init__(f"The server answered with error {self.code}: {message!r}.")
        expired = self.code == _TOKEN_EXPIRED
        self.temporary = expired or error.get("temporary") is True


@attrs.frozen
class Publication:
    """A publication in a channel.

    Attributes:
        data: What was published, decoded.
        position: Where it is in the channel's stream, ``None`` if the channel has none.
        info: Who published it, and what else the server said of it.
    """

    data: Any
    position: Position | None
    info: dict[str, Any]


class Centrifugo(Plain):
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
        self.url = NextURL(url, _FATAL)
        self._token, self._data = token, data
        self._ids = itertools.count(1)
        self._pong = False

    @override
    async def login(self, connection: Connection, resume: bool) -> Sequence[Message]:
        self.url.reached()
        wish = {"token": await _given(self._token), "data": self._data}
        number, command = self.command("connect", **wish, name="resilient_ws")
        await connection.send(command)
        message = await connection.receive()
        first, _, left = _text(message).strip().partition("\n")
        reply = object_in(first)
        if "error" in reply:
            error = CentrifugoError(cast("Object", part(reply, dict, "error")))
            raise (LoginRefused if error.temporary else Fatal)(str(error))
        if reply.get("id") != number:
            raise LoginRefused("The server answered the login with something else.")
        granted = cast("Object", part(reply, dict, "connect"))
        self._pong, ping = granted.get("pong") is True, granted.get("ping")
        self.beat_interval = ping + _GRACE if isinstance(ping, int) and ping else None
        return (left,) if left else ()

    def route(self, message: Message) -> Sequence[Route]:
        """Tell where the replies and pushes in a message belong."""
        return [self._one(loads(line)) for line in _text(message).strip().split("\n")]

    def _one(self, data: dict[str, Any]) -> Route:
        if data == {}:
            return Answer("{}") if self._pong else Ignore()
        if number := data.get("id"):
            failed = CentrifugoError(data["error"]) if "error" in data else None
            return Reply(number, data, failed)
        match data["push"]:
            case {"channel": key, "pub": publication}:
                return Item(key, publication)
            case {"channel": key, "unsubscribe": {"code": code, **rest}}:
                reason = str(rest.get("reason"))[:_REASON]
                because = StreamEnded(f"Centrifugo ended it: {code} {reason!r}.")
                return Ended(key, because, again=code >= _AGAIN)
            case {}:
                return Ignore()  # joins and leaves; or a close code follows
            case _:
                return Ignore(odd="a push that is none")

    def command(self, kind: str, **wish: Any) -> tuple[int, Message]:
        """Return a command for ``channel.ask(*centrifugo.command(...))``.

        Its value is the reply, decoded; ``CentrifugoError`` is raised for an error.

        Args:
            kind: Such as ``"publish"``, ``"rpc"``, ``"presence"`` or ``"history"``.
            wish: What it needs, such as ``channel="news"``; ``None`` is left out.
        """
        number = next(self._ids)
        given = {name: value for name, value in wish.items() if value is not None}
        return number, dumps({"id": number, kind: given})

    def channel(self, name: str, token: Token = None) -> Source[Publication, Any]:
        """Return the source of a channel.

        Args:
            name: The channel.
            token: The subscription's token, if it needs one.
        """
        stream = _Stream(self, name, token)
        return Source(
            subscribe=stream.subscribe,
            unsubscribe=stream.unsubscribe,
            parse=stream.parse,
            cursor_of=lambda item: item.position,
            begins_at=lambda: stream.begins_at,
            follows=_follows,
            backfill=stream.backfill,
            name=name,
        )


class _Stream:
    """The stream of one channel, as its newest subscription has it."""

    def __init__(self, centrifugo: Centrifugo, name: str, token: Token) -> None:
        self._centrifugo, self._name, self._token = centrifugo, name, token
        self._requests: Requests | None = None
        # The answer to the newest subscribe, until what it brings is fetched.
        self._fresh: dict[str, Any] | None = None
        self._epoch: str | None = None
        self.begins_at: Any = None

    async def _asked(self, kind: str, **wish: Any) -> Any:
        assert self._requests is not None  # noqa: S101 - for the type checker
        ask = self._centrifugo.command(kind, channel=self._name, **wish)
        reply = await self._requests.ask(*ask)
        return reply[kind]

    async def subscribe(self, requests: Requests) -> Key:
        self._requests, self._fresh = requests, None
        wish: dict[str, Any] = {"token": await _given(self._token)}
        if requests.after is not None:
            epoch, offset = requests.after
            wish |= {"recover": True, "epoch": epoch, "offset": offset}
        try:
            answer = await self._asked("subscribe", **wish)
        except CentrifugoError as error:
            if error.temporary:
                raise ConnectionError(str(error)) from error
            raise
        positioned = answer.get("recoverable") or answer.get("positioned")
        self._epoch = answer.get("epoch", "") if positioned else None
        self.begins_at = (self._epoch, answer.get("offset", 0)) if positioned else None
        self._fresh = answer if requests.after is not None else None
        return self._name

    async def unsubscribe(self, requests: Requests, _: Key) -> None:
        self._requests = requests
        await self._asked("unsubscribe")

    def parse(self, value: dict[str, Any]) -> Publication:
        info = dict(value)
        data, offset = info.pop("data", None), info.pop("offset", 0)
        position = (self._epoch, offset) if self._epoch is not None and offset else None
        return Publication(data, position, info)

    async def backfill(
        self,
        after: Position,
        until: Position | None,  # noqa: ARG002 - what is beyond it is a repeat
    ) -> AsyncIterator[Publication]:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            if not fresh.get("recovered"):
                raise StreamReset("Centrifugo has forgotten what was missed.")
            for publication in fresh.get("publications", ()):
                yield self.parse(publication)
            return
        try:
            while True:
                since = {"epoch": after[0], "offset": after[1]}
                page = await self._asked("history", since=since, limit=_PAGE)
                found = [self.parse(one) for one in page.get("publications", ())]
                for item in found:
                    yield item
                last = found[-1].position if found else None
                if last is None or last <= after or len(found) < _PAGE:
                    return
                after = last
        except CentrifugoError as error:
            raise BackfillFailed(str(error)) from error


async def _given(token: Token) -> str | None:
    return await token() if callable(token) else token


def _text(message: Message) -> str:
    return message if isinstance(message, str) else message.decode(errors="replace")


def _follows(last: Position | None, item: Publication) -> Continuity:
    if last is None or item.position is None:
        return Continuity.NEXT
    if item.position[0] != last[0]:
        return Continuity.RESET
    if item.position[1] == last[1] + 1:
        return Continuity.NEXT
    return Continuity.REPEAT if item.position[1] <= last[1] else Continuity.JUMP
