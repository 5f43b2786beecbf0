"""Slack's Socket Mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from typing_extensions import override

from resilient_ws.feeds.errors import LoginRefused
from resilient_ws.feeds.json import dumps, is_object, loads
from resilient_ws.feeds.protocol import Ignore, Item, Plain, Rotate, Route
from resilient_ws.feeds.protocols.answers import answer
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from resilient_ws import Connection
    from resilient_ws.protocol.message import Message


#: What Slack sends: ``type``, ``envelope_id``, ``payload`` and more.
Envelope: TypeAlias = dict[str, Any]
#: Characters of the longest reason that is repeated.
_REASON: Final = 40


class Slack(Plain):
    """Slack's Socket Mode: each envelope is acknowledged at once, where it came.

    ::

        async def url(_: Attempt) -> str:  # each URL of Slack is for one connection
            bearer = {"Authorization": f"Bearer {app_token}"}
            where = "https://slack.com/api/apps.connections.open"
            async with http.post(where, headers=bearer) as response:
                answer = await response.json()
            if not answer["ok"]:  # an OSError is tried again
                raise OSError(answer["error"])
            return answer["url"]

        slack = Slack()
        async with Channel(connect(url), slack) as channel:
            async for envelope in await channel.subscribe(slack.envelopes()):
                if not isinstance(envelope, Gap):  # a drop
                    await handle(envelope["type"], envelope["payload"])

    Slack renews a connection about once an hour, and says so some seconds before: the
    session then closes it and dials a new URL. Events that were not acknowledged, Slack
    sends again; each drop is a ``Gap`` nevertheless, because it does so a few times
    only, and not with interactions.

    Args:
        respond: Returns what an acknowledgement carries (the answer to a slash command,
            say), or ``None``; called with each envelope that accepts a response, before
            any consumer has it, and must not take long. Without it, answer by the
            ``response_url`` of the payload.
    """

    def __init__(self, respond: Callable[[Envelope], Any] | None = None) -> None:
        self._respond = respond

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        greeting = await answer(connection, "type", "hello", "disconnect")
        if greeting["type"] == "disconnect":
            reason = _reason_of(greeting)
            raise LoginRefused(f"Slack ended the connection at once: {reason}.")

    def route(self, message: Message) -> Route:
        """Tell where a message belongs."""
        data = loads(message)
        kind = data["type"]
        if kind == "hello":
            return Ignore()
        if kind == "disconnect":
            return Rotate(f"Slack asks for a new one ({_reason_of(data)})")
        if "envelope_id" in data:
            return Item(kind, data)
        return Ignore(odd="a message of an unknown type")

    @override
    def ack(self, item: Item) -> Message:
        answer = {"envelope_id": item.value["envelope_id"]}
        if self._respond is not None and item.value.get("accepts_response_payload"):
            payload = self._respond(item.value)
            if payload is not None:
                answer["payload"] = payload
        return dumps(answer)

    def envelopes(self, *types: str) -> Source[Envelope, Any]:
        """Return the source of the envelopes of some types, in the order of arrival.

        One that Slack sends again, because it did not get the acknowledgement, comes
        once.

        Args:
            types: ``"events_api"``, ``"interactive"``, ``"slash_commands"``; none of
                them for all that no other subscription has.
        """
        return Source(keys=types, identity=_identity)


def _identity(envelope: Envelope) -> Hashable:
    payload = envelope.get("payload")
    event = payload.get("event_id") if is_object(payload) else None
    return str(envelope["envelope_id"] if event is None else event)


def _reason_of(message: dict[str, Any]) -> str:
    """Return the reason of a disconnect, which is a word, such as ``warning``."""
    reason = message.get("reason")
    known = isinstance(reason, str) and len(reason) <= _REASON and reason.isidentifier()
    return str(reason) if known else "it does not say why"
