"""Phoenix channels over WebSocket, protocol version 2."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from typing_extensions import override

from resilient_ws.feeds.errors import RequestRefused
from resilient_ws.feeds.json import dumps
from resilient_ws.feeds.protocol import Ended, Ignore, Item, Plain, Reply, Route
from resilient_ws.feeds.protocols.credentials import Credential, fresh
from resilient_ws.feeds.protocols.phoenix_frames import frame_in
from resilient_ws.feeds.source import Key, Source
from resilient_ws.policy._validate import check_positive


if TYPE_CHECKING:
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.protocol.message import Message


#: What goes with a join, such as a token.
Params: TypeAlias = Mapping[str, Any]


class PhoenixError(RequestRefused):
    """The server refused a join, or answered a push with an error.

    Attributes:
        response: What it said, decoded.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(response, "The server's answer, an error, is in .response.")
        self.response = response


@attrs.frozen
class PhoenixEvent:
    """What a server pushed to a topic.

    Attributes:
        topic: The topic.
        event: The name of the event.
        payload: Its payload, decoded; ``bytes`` where it is binary.
    """

    topic: str
    event: str
    payload: Any


class Phoenix(Plain):
    """Phoenix channels.

    ::

        async def token() -> dict[str, str]:  # asked for at each join
            return {"token": await fresh_token()}

        phoenix = Phoenix()
        url = "wss://example.com/socket/websocket?vsn=2.0.0"
        async with Channel(connect(url), phoenix) as channel:
            lobby = await channel.subscribe(phoenix.topic("room:lobby", token))
            await channel.ask(*phoenix.push("room:lobby", "shout", {"text": "hi"}))
            async for item in lobby:
                print(item)  # a PhoenixEvent, or a Gap behind a drop or a crash

    A topic whose process crashes is joined again; one that the server closes ends.

    Args:
        heartbeat: Seconds between two heartbeats (default 30); a connection that does
            not answer them is replaced. Phoenix ends a client that is silent for 60 s.

    Raises:
        TypeError: ``heartbeat`` is of another type.
        ValueError: It is out of range.

    Attributes:
        joined: What the server answered to the newest join of each topic.
    """

    beat_answered = True

    def __init__(self, *, heartbeat: float = 30.0) -> None:
        check_positive("heartbeat", heartbeat)
        self.beat_interval = heartbeat
        self._refs = map(str, itertools.count(1))
        self._joins: dict[str, str] = {}
        self.joined: dict[str, Any] = {}

    def route(self, message: Message) -> Route:
        """Tell where a message belongs."""
        join, ref, topic, event, payload = frame_in(message)
        if event == "phx_reply" and topic != "phoenix":
            failed = None if payload["status"] == "ok" else PhoenixError
            response = payload["response"]
            return Reply(ref, response, failed and failed(response))
        if topic == "phoenix" or join not in {None, self._joins.get(topic)}:
            return Ignore()  # a heartbeat's answer, or the last of an earlier join
        match event:
            case "phx_close":
                return Ended(topic)
            case "phx_error":
                return Ended(topic, again=True)
            case _:
                return Item(topic, PhoenixEvent(topic, event, payload))

    @override
    def beat(self) -> Message:
        return dumps([None, next(self._refs), "phoenix", "heartbeat", {}])

    def push(self, topic: str, event: str, payload: Any) -> tuple[str, Message]:
        """Return a push for ``channel.ask(*phoenix.push(...))``.

        Its value is the response; ``PhoenixError`` is raised where the server's status
        is not ``ok``. The topic must be subscribed to. Where the server sends no reply,
        give the message alone to ``channel.send``.
        """
        ref = next(self._refs)
        return ref, dumps([self._joins.get(topic), ref, topic, event, payload])

    def topic(
        self, name: str, params: Credential[Params] | None = None
    ) -> Source[PhoenixEvent, Any]:
        """Return the source of a topic; its items are the events pushed to it.

        Phoenix has no history, so a drop leaves a ``Gap``. Where your topics have one,
        say how: ``attrs.evolve(source, cursor_of=..., follows=..., backfill=...)``.

        Args:
            name: The topic.
            params: Sent with each join; or an ``async`` callable that returns it.
        """

        async def join(requests: Requests) -> Key:
            given = await fresh(params)
            ref = self._joins[name] = next(self._refs)
            message = dumps([ref, ref, name, "phx_join", given or {}])
            self.joined[name] = await requests.ask(ref, message)
            return name

        async def leave(requests: Requests, _: Key) -> None:
            self.joined.pop(name, None)
            await requests.ask(*self.push(name, "phx_leave", {}))

        return Source(subscribe=join, unsubscribe=leave, name=name)
