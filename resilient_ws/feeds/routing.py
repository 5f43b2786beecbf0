"""Hands each message to whoever waits for it, by what the protocol says of it.

Rules: nothing here waits, and nothing that a server sends breaks the channel: what is
malformed, unknown or unexpected is counted, and told in the log at most once a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds.errors import Unreadable
from resilient_ws.feeds.protocol import (
    Answer,
    Ended,
    Ignore,
    Item,
    Missed,
    Plain,
    Reply,
    Reset,
    Rotate,
)
from resilient_ws.feeds.registry import REST


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resilient_ws.feeds.calls import Calls
    from resilient_ws.feeds.oddities import Oddities
    from resilient_ws.feeds.protocol import Left, Protocol
    from resilient_ws.feeds.registry import Registry
    from resilient_ws.protocol.message import Message


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
        on_missed: Called where messages are missing.
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
        on_missed: Callable[[], None],
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
            Missed: lambda _: on_missed(),
            Reset: on_reset,
            Rotate: on_rotate,
        }
        self._by_key = registry.by_key
        self._listeners: list[Callable[[Any], None]] = []
        # Whether more is to be done with an item than to deliver it.
        self._is_heard = self._ack is not None
        #: Items that came.
        self.items = 0

    def listen(self, listener: Callable[[Any], None]) -> None:
        """Call a listener with every item."""
        self._listeners.append(listener)
        self._is_heard = True

    def unlisten(self, listener: Callable[[Any], None]) -> None:
        """Call a listener no longer."""
        self._listeners.remove(listener)
        self._is_heard = self._ack is not None or bool(self._listeners)

    def left_by_login(self, left: Sequence[Left]) -> None:
        """Route what came with the answer to a login."""
        for one in left:
            if isinstance(one, str | bytes):
                self.message(one)
            else:
                self._part(one)

    def message(self, message: Message) -> None:
        """Route one message."""
        try:
            route = self._route(message)
            if type(route) is Item:
                # By far the most: an item for a subscription that stands.
                deliver = self._by_key.get(route.key)
                if deliver is None or self._is_heard:
                    self._item(route)
                else:
                    self.items += 1
                    deliver(route.value)
            elif not isinstance(route, list | tuple):
                self._one(route)
            else:
                for one in route:
                    self._part(one)
        except Unreadable as failure:
            self._oddities.count("malformed", str(failure))
            self._rare[Rotate](Rotate("what the server sends cannot be read"))
        except Exception as failure:  # noqa: BLE001 - a peer's message
            self._oddities.count("malformed", type(failure).__name__)

    def _part(self, route: object) -> None:
        """Route one of several: what is wrong with it is not wrong with the others."""
        try:
            self._one(route)
        except Exception as failure:  # noqa: BLE001 - a peer's message
            self._oddities.count("malformed", type(failure).__name__)

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
        if reply.odd is not None:
            self._oddities.count("malformed", reply.odd)
        if self._calls.answered(reply.id, reply.value, reply.error):
            self._registry.answered()
        else:
            self._oddities.count("unexpected", "an answer that nobody waits for")

    def _item(self, item: Item) -> None:
        self.items += 1
        deliver = self._by_key.get(item.key) or self._by_key.get(REST)
        if deliver is not None:
            deliver(item.value)
        elif not self._registry.hold(item.key, item.value) and not self._listeners:
            # It is not acknowledged: another consumer of the server may take it.
            self._oddities.count("unknown", "an item for nobody")
            return
        for listener in self._listeners:
            listener(item.value)
        if self._ack is not None and (ack := self._ack(item)) is not None:
            self._send(ack)

    def _answer(self, answer: Answer) -> None:
        self._send(answer.message)

    def _ignore(self, ignore: Ignore) -> None:
        if ignore.odd is not None:
            self._oddities.count("malformed", ignore.odd)
