"""Hands each message to whoever waits for it, by what the protocol says of it.

Rules: nothing here waits, and nothing that a server sends breaks the channel: what is
malformed, unknown or unexpected is counted, and told in the log at most once a minute.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds.protocol import (
    Answer,
    Ended,
    Ignore,
    Item,
    Plain,
    Reply,
    Reset,
    Rotate,
)
from resilient_ws.feeds.registry import REST


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws.feeds.calls import Calls
    from resilient_ws.feeds.oddities import Oddities
    from resilient_ws.feeds.protocol import Protocol
    from resilient_ws.feeds.registry import Registry
    from resilient_ws.protocol.message import Message


logger = logging.getLogger("resilient_ws")


class Router:
    """Routes the messages of one channel.

    Args:
        protocol: Tells where a message belongs.
        registry: The subscriptions by their keys.
        calls: The requests that wait for an answer.
        oddities: Counts what should not have come.
        on_ended: Called where the server ended a subscription.
        on_rotate: Called where it asks for a new connection.
        on_reset: Called where it has forgotten us.
        send: Sends a message on the connection, without waiting.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        registry: Registry,
        calls: Calls,
        oddities: Oddities,
        on_ended: Callable[[Ended], None],
        on_rotate: Callable[[Rotate], None],
        on_reset: Callable[[Reset], None],
        send: Callable[[Message | Awaitable[Message | None]], None],
    ) -> None:
        self._protocol = protocol
        self._route = protocol.route
        acks = getattr(type(protocol), "ack", None) is not Plain.ack
        self._ack = protocol.ack if acks else None
        self._registry = registry
        self._calls = calls
        self._oddities = oddities
        self._send = send
        self._rare: Final[dict[type[object], Callable[[Any], None]]] = {
            Answer: self._answer,
            Ended: on_ended,
            Ignore: self._ignore,
            Reset: on_reset,
            Rotate: on_rotate,
        }
        #: Those who listen to every item.
        self.listeners: list[Callable[[Any], None]] = []

    def message(self, message: Message) -> None:
        """Route one message."""
        try:
            route = self._route(message)
        except (Exception, RecursionError) as failure:  # noqa: BLE001 - a peer's message
            self._oddities.count("malformed", type(failure).__name__)
            return
        if isinstance(route, Item):
            self._item(route)
        elif isinstance(route, list | tuple):
            for one in route:
                self._one(one)
        else:
            self._one(route)

    def _one(self, route: object) -> None:
        if isinstance(route, Item):
            self._item(route)
        elif isinstance(route, Reply):
            self._reply(route)
        elif type(route) in self._rare:
            self._rare[type(route)](route)
        else:
            what = f"the protocol returned {type(route).__name__}"
            self._oddities.count("malformed", what)

    def _reply(self, reply: Reply) -> None:
        try:
            expected = self._calls.answered(reply.id, reply.value, reply.error)
        except TypeError:
            self._oddities.count("malformed", "an id that cannot be one")
            return
        if not expected:
            self._oddities.count("unexpected", "an answer that nobody waits for")

    def _item(self, item: Item) -> None:
        try:
            deliver = self._registry.by_key.get(item.key)
        except TypeError:
            self._oddities.count("malformed", "a key that cannot be one")
            return
        if deliver is None:
            deliver = self._registry.by_key.get(REST)
        if deliver is not None:
            deliver(item.value)
        elif not self.listeners:
            self._registry.hold(item.key, item.value)
        for listener in self.listeners:
            listener(item.value)
        if self._ack is not None:
            self._acknowledge(self._ack, item)

    def _acknowledge(self, ack: Callable[[Item], Message | None], item: Item) -> None:
        try:
            message = ack(item)
        except Exception as failure:  # noqa: BLE001 - what it repeats is a peer's
            what = f"an item that cannot be acknowledged ({type(failure).__name__})"
            self._oddities.count("malformed", what)
            return
        if message is not None:
            self._send(message)

    def _answer(self, answer: Answer) -> None:
        self._send(answer.message)

    def _ignore(self, ignore: Ignore) -> None:
        if ignore.odd is not None:
            self._oddities.count("unexpected", ignore.odd)
