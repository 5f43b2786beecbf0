"""GraphQL over WebSocket: the protocol ``graphql-transport-ws``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from typing_extensions import override

from resilient_ws.feeds.errors import RequestRefused
from resilient_ws.feeds.json import dumps, loads
from resilient_ws.feeds.protocol import Answer, Ended, Ignore, Item, Plain, Reply, Route
from resilient_ws.feeds.protocols.answers import answer
from resilient_ws.feeds.protocols.credentials import Credential, fresh
from resilient_ws.feeds.source import Key, Source
from resilient_ws.policy._validate import check_seconds_or_none


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.protocol.message import Message


#: Variables of an operation, or what ``connection_init`` carries, such as a token.
Payload: TypeAlias = Mapping[str, Any]

#: The id of a request begins with the first, that of a subscription with the second.
_REQUEST, _SUBSCRIPTION = "r", "s"


class GraphQLError(RequestRefused):
    """The server refused an operation.

    Attributes:
        errors: The ``GraphQLError[]`` that it sent, decoded.
    """

    def __init__(self, errors: Any) -> None:
        text = "The server refused the operation; its errors are in .errors."
        super().__init__(errors, text)
        self.errors = errors


class GraphQL(Plain):
    """The protocol ``graphql-transport-ws``.

    ::

        async def token() -> dict[str, str]:  # asked for on each connection
            return {"authorization": f"Bearer {await fresh_token()}"}

        graphql = GraphQL(token)
        session = connect(url, subprotocols=[GraphQL.SUBPROTOCOL])
        async with Channel(session, graphql) as channel:
            print(await channel.ask(*graphql.request("{ symbols }")))
            trades = graphql.subscription("subscription { trades { id price } }")
            async for result in await channel.subscribe(trades):
                print(result)  # {"data": ...}, or a Gap behind a drop

    Args:
        payload: Sent with each login; or an ``async`` callable that returns it.
        ping_interval: Seconds between two ``ping`` messages; a connection that does not
            answer them is replaced. ``None`` (default) sends none: the session's own
            pings show that the socket lives, though not what is behind it.

    Raises:
        TypeError: ``ping_interval`` is of another type.
        ValueError: It is out of range.
    """

    #: For ``connect(subprotocols=...)``.
    SUBPROTOCOL: Final = "graphql-transport-ws"

    beat_answered = True

    def __init__(
        self,
        payload: Credential[Payload] | None = None,
        *,
        ping_interval: float | None = None,
    ) -> None:
        check_seconds_or_none("ping_interval", ping_interval)
        self._payload = payload
        self.beat_interval = ping_interval
        self._numbers = itertools.count(1)

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        payload = await fresh(self._payload) or {}
        await connection.send(_message("connection_init", payload=payload))
        kinds = "connection_ack", "ping"
        while (await answer(connection, "type", *kinds))["type"] == "ping":
            await connection.send(_message("pong"))

    def route(self, message: Message) -> Route:
        """Tell where a message belongs."""
        data = loads(message)
        kind, payload = data["type"], data.get("payload")
        if kind in {"pong", "ping"}:
            return Answer(_message("pong")) if kind == "ping" else Ignore()
        if kind not in {"next", "error", "complete"}:
            return Ignore(odd="a message of an unknown type")
        name, error = data["id"], GraphQLError(payload) if kind == "error" else None
        if name.startswith(_REQUEST):
            return Ignore() if kind == "complete" else Reply(name, payload, error)
        return Item(name, payload) if kind == "next" else Ended(name, error)

    @override
    def beat(self) -> Message | None:
        return _message("ping")

    def request(
        self, query: str, variables: Payload | None = None, name: str | None = None
    ) -> tuple[str, Message]:
        """Return a query or a mutation for ``channel.ask(*graphql.request(...))``.

        Its value is the execution result, with its own errors; ``GraphQLError`` is
        raised where the server does not execute it.
        """
        return self._operation(_REQUEST, query, variables, name)

    def subscription(
        self, query: str, variables: Payload | None = None, name: str | None = None
    ) -> Source[Any, Any]:
        """Return the source of a subscription; its items are execution results.

        GraphQL has no history, so a drop leaves a ``Gap``. Where the schema has one,
        say how: ``attrs.evolve(source, cursor_of=..., follows=..., backfill=...)``.
        A refusal is a ``GraphQLError`` of the iteration, because the protocol grants
        nothing.
        """

        async def subscribe(requests: Requests) -> Key:
            key, message = self._operation(_SUBSCRIPTION, query, variables, name)
            await requests.send(message)
            return key

        async def complete(requests: Requests, key: Key) -> None:
            await requests.send(_message("complete", id=key))

        return Source(subscribe=subscribe, unsubscribe=complete)

    def _operation(
        self, kind: str, query: str, variables: Payload | None, name: str | None
    ) -> tuple[str, Message]:
        key = f"{kind}{next(self._numbers)}"
        payload = {"query": query, "variables": variables, "operationName": name}
        return key, _message("subscribe", id=key, payload=payload)


def _message(kind: str, **rest: Any) -> Message:
    return dumps({"type": kind, **rest})
