"""MQTT over WebSocket, versions 3.1.1 and 5, with QoS 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from resilient_ws.feeds.login_requests import log_in
from resilient_ws.feeds.protocol import Answer, Ignore, Item, Left, Plain, Reply, Route
from resilient_ws.feeds.protocols import mqtt_packets as packets
from resilient_ws.feeds.protocols.kept import Kept
from resilient_ws.feeds.protocols.mqtt_packets import LOGIN, MQTTMessage
from resilient_ws.feeds.protocols.mqtt_requests import MQTTRequests
from resilient_ws.feeds.protocols.mqtt_topics import Filters
from resilient_ws.policy._validate import whole_number


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key, Source
    from resilient_ws.protocol.message import Message

#: The greatest numbers of two and of four bytes.
_MAX_SHORT: Final = 0xFFFF
_MAX_LONG: Final = 0xFFFF_FFFF
_VERSIONS: Final = (4, 5)


class MQTT(Plain):
    """MQTT 3.1.1 or 5.

    ::

        mqtt = MQTT(client_id="thermostat-7", keep=3600)  # the broker keeps an hour
        session = connect("wss://broker.example/mqtt", subprotocols=[MQTT.SUBPROTOCOL])
        rooms = mqtt.messages("rooms/+/temperature", qos=1)
        async with Channel(session, mqtt) as channel:
            await mqtt.publish(channel, "thermostats/7", b"on")
            async for item in await channel.subscribe(rooms):
                if isinstance(item, MQTTMessage):  # else a Gap
                    print(item.topic, item.payload)

    With ``keep``, the broker keeps the subscriptions, and what is published with QoS 1:
    a drop is no ``Gap`` if it still has them. QoS 1 is *at least once*, so a message
    may come again behind a drop. Each is acknowledged when it is in the buffer of its
    subscription, or in none.

    Args:
        client_id: Names the client to the broker; by default a random one.
        keep: Seconds for which the broker keeps what it knows of us; 0 (default) to
            begin anew on each connection. Version 3.1.1 has no number: the broker
            decides.
        username: For the login.
        password: For the login.
        keepalive: Seconds between two signs of life (default 60); 0 for none.
        version: 5 (default), or 4 for MQTT 3.1.1.
        in_flight: Messages of ``publish`` that wait for the broker at once (default
            16), the others for their turn.
        max_packet: The most bytes of a packet (default 16 MiB).

    Raises:
        TypeError: A number is of another type.
        ValueError: A number is out of range, or a text too long.

    Attributes:
        session_present: Whether the broker kept what it knows of us for the newest
            connection.
        publish: Publishes a message (``MQTTRequests.publish``), with quality of service
            1 until the broker has taken it.
    """

    #: For ``connect(subprotocols=...)``.
    SUBPROTOCOL: Final = "mqtt"

    beat_answered = True

    def __init__(
        self,
        client_id: str | None = None,
        *,
        keep: int = 0,
        username: str | None = None,
        password: str | bytes | None = None,
        keepalive: int = 60,
        version: Literal[4, 5] = 5,
        in_flight: int = 16,
        max_packet: int = 1 << 24,
    ) -> None:
        whole_number("keep", keep, at_least=0, at_most=_MAX_LONG)
        whole_number("keepalive", keepalive, at_least=0, at_most=_MAX_SHORT)
        whole_number("in_flight", in_flight, at_least=1, at_most=_MAX_SHORT)
        whole_number("max_packet", max_packet, at_least=1, at_most=_MAX_LONG)
        if version not in _VERSIONS:
            raise ValueError(f"version must be 4 (MQTT 3.1.1) or 5, not {version!r}.")
        login = packets.Connect(client_id, keep, username, password, keepalive)
        self._connect = login.encode(version, max_packet)
        self._keepalive = keepalive
        self._packets = packets.Packets(version, max_packet)
        self._requests = MQTTRequests(version, in_flight)
        self.publish = self._requests.publish
        self._filters = Filters()
        self._kept = Kept()
        self.session_present = False

    @override
    async def login(self, connection: Connection, resume: bool) -> list[Left]:
        self._packets.begin()
        connack, left = await log_in(connection, self.route, LOGIN, self._connect)
        self._requests.opened(connack.about)
        self._kept.opened(present=connack.present)
        self.session_present = connack.present
        keepalive = connack.about.get("keepalive", self._keepalive)
        self.beat_interval = keepalive / 2 if keepalive else None
        return left

    def route(self, message: Message) -> list[Route]:
        """Tell where the packets in a message belong."""
        return [
            one for packet in self._packets.take(message) for one in self._of(packet)
        ]

    def _of(self, packet: packets.Packet) -> list[Route]:
        match packet:
            case packets.Published(message, number):
                told = message.properties.get("subscription_identifier", ())
                keys = self._filters.of(message.topic, told)
                items: list[Route] = [Item(key, message) for key in keys]
                ack = [Answer(packets.acknowledgement(number))] if number else []
                return [*items, *ack]
            case packets.Ack(request, value, refused):
                return [Reply(request, value, refused)]
            case packets.Other(odd):
                return [Ignore(odd)]

    @override
    def beat(self) -> Message:
        return packets.ping()

    def messages(
        self, filter: str, *, qos: Literal[0, 1] = 0
    ) -> Source[MQTTMessage, Any]:
        """Return the source of the messages whose topics match a filter.

        Where the broker kept messages for you before this program began, make the
        source before you enter the channel, so that they are known to be for it. Where
        filters overlap, version 5 tells for which a message is; with version 3.1.1, it
        goes to each that matches, as often as the broker sends it.

        Args:
            filter: A topic, perhaps with ``+`` for a level and ``#`` for the rest.
            qos: 0 (default), where a drop is always a ``Gap``, or 1.

        Raises:
            TypeError: ``qos`` is not a whole number.
            ValueError: ``qos`` is neither 0 nor 1.
        """
        whole_number("qos", qos, at_least=0, at_most=1)
        wish = packets.Subscribe(filter, qos, self._filters.add(filter))

        async def subscribe(requests: Requests) -> str:
            await self._requests.ask(requests, wish)
            return filter

        async def unsubscribe(requests: Requests, _: Key) -> None:
            await self._requests.ask(requests, packets.Unsubscribe(filter))

        return self._kept.source(subscribe, unsubscribe, key=filter, replays=qos > 0)
