"""MQTT over WebSocket, versions 3.1.1 and 5, with QoS 0 and 1."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from resilient_ws import Fatal
from resilient_ws.feeds.errors import CallLost, FeedError, LoginRefused
from resilient_ws.feeds.protocol import Answer, Ignore, Item, Plain, Reply, Rotate
from resilient_ws.feeds.protocols import mqtt_codec as codec
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds.channel import Channel
    from resilient_ws.feeds.protocol import Route
    from resilient_ws.feeds.protocols.mqtt_codec import MQTTMessage, Reader
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key
    from resilient_ws.protocol.message import Message


#: Reason codes from this one on are failures.
_FAILURE: Final = 0x80
#: Logins that never succeed, by version: the client's fault, or its credentials'.
_FATAL: Final = {
    4: frozenset({1, 2, 4, 5}),
    5: frozenset({0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x95}),
}
#: Messages that a broker may send before the first is acknowledged, and topics whose
#: filters are kept.
_RECEIVE, _TOPICS = 256, 1024


class MQTTError(FeedError):
    """The broker refused a request.

    Attributes:
        code: The reason code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"The broker refused: reason code 0x{code:02x}.")
        self.code = code


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
        self._five = version == codec.FIVE
        self._version, self._keepalive = version, keepalive
        flags = (
            (username is not None) << 7 | (password is not None) << 6 | (not keep) << 1
        )
        about = codec.properties(
            session_expiry=keep, receive_maximum=_RECEIVE, maximum_packet=max_packet
        )
        name = f"rws-{secrets.token_hex(8)}" if client_id is None else client_id
        login = [codec.text(part) for part in (username, password) if part is not None]
        self._connect = codec.packet(
            codec.CONNECT,
            codec.text("MQTT") + bytes([version, flags]) + codec.number(keepalive),
            about if self._five else b"",
            codec.text(name),
            *login,
        )
        self._max_packet, self._in_flight = max_packet, in_flight
        self._window = asyncio.Semaphore(in_flight)
        self._ids = itertools.cycle(range(1, 1 << 16))
        self._filters: dict[str, int] = {}
        self._keys: dict[str, list[str]] = {}  # the filters of each topic
        self._granted: set[str] = set()  # the filters that the broker has
        self._packets = codec.Packets(max_packet)
        self._began = False  # whether the broker's session began since we do
        self.session_present = False

    @override
    async def login(self, connection: Connection, resume: bool) -> Sequence[Message]:
        self._packets = codec.Packets(self._max_packet)
        await connection.send(self._connect)
        try:
            while (found := self._packets.next()) is None:
                self._packets.put(await connection.receive())
            first, body = found
            if first != codec.CONNACK << 4:
                raise LoginRefused("The broker answered the login with something else.")
            present, code = body.byte(), body.byte()
            about = body.properties() if self._five and body else {}
        except ValueError as failure:
            raise LoginRefused(f"The answer to the login: {failure}") from None
        if code:
            text = f"The broker refused the login: reason code 0x{code:02x}."
            raise (Fatal if code in _FATAL[self._version] else LoginRefused)(text)
        if (most := about.get("receive_maximum", self._in_flight)) < self._in_flight:
            raise Fatal(f"The broker takes {most} messages at once: pass in_flight=.")
        self.session_present = present == 1
        if not self.session_present:
            self._granted.clear()
            self._began = True
        keepalive = about.get("keepalive", self._keepalive)
        self.beat_interval = keepalive / 2 if keepalive else None
        return (b"",)  # with what came behind the answer

    def route(self, message: Message) -> Sequence[Route]:
        """Tell where the packets in a message belong."""
        try:
            self._packets.put(message)
            routes: list[Route] = []
            while (found := self._packets.next()) is not None:
                routes += self._one(*found)
        except ValueError as failure:
            return Ignore(odd=str(failure)), Rotate("what it brings is not MQTT")
        return routes

    def _one(self, first: int, body: Reader) -> list[Route]:
        match first >> 4:
            case codec.PUBLISH:
                return self._published(first & 0xF, body)
            case codec.PUBACK | codec.SUBACK | codec.UNSUBACK as kind:
                name = kind, body.number()
                if self._five and kind != codec.PUBACK:
                    body.properties()
                code = body.byte() if body else 0
                refused = MQTTError(code) if code >= _FAILURE else None
                return [Reply(name, code, refused)]
            case codec.PINGRESP:
                return [Ignore()]
            case codec.DISCONNECT:
                code = body.byte() if body else 0
                return [Ignore(odd=f"the broker disconnects: 0x{code:02x}")]
            case _:
                return [Ignore(odd="a packet that is not for a client")]

    def _published(self, flags: int, body: Reader) -> list[Route]:
        message, packet_id = codec.published(flags, body, self._version)
        keys = self._keys_of(message.topic)
        if named := message.properties.get("subscription_identifier"):
            keys = [key for key in keys if self._filters[key] in named] or keys
        routes: list[Route] = [Item(key, message) for key in keys or [message.topic]]
        if packet_id:
            ack = codec.packet(codec.PUBACK, codec.number(packet_id))
            routes.append(Answer(ack))
        return routes

    def _keys_of(self, topic: str) -> list[str]:
        if topic not in self._keys:
            if len(self._keys) >= _TOPICS:
                self._keys.clear()
            found = [name for name in self._filters if codec.matches(name, topic)]
            self._keys[topic] = found
        return self._keys[topic]

    @override
    def beat(self) -> Message:
        return codec.packet(codec.PINGREQ)

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
        """
        # The same in each life of this program, because the broker remembers it.
        number = self._filters[filter] = zlib.crc32(filter.encode()) % 0xFFFFFFF + 1
        self._keys.clear()
        about = codec.properties(subscription_identifier=number) if self._five else b""
        # Version 5: what is retained only for a new subscription.
        option = bytes([qos | 0x10 if self._five else qos])

        async def subscribe(requests: Requests) -> Key:
            if filter not in self._granted:
                wish = about, codec.text(filter), option
                await self._asked(requests, codec.SUBSCRIBE, codec.SUBACK, *wish)
                self._granted.add(filter)
            return filter

        async def unsubscribe(requests: Requests, _: Key) -> None:
            self._granted.discard(filter)
            wish = b"\0" if self._five else b"", codec.text(filter)
            await self._asked(requests, codec.UNSUBSCRIBE, codec.UNSUBACK, *wish)

        def resumed() -> bool:
            known = filter in self._granted or not self._began
            return bool(qos) and self.session_present and known

        return Source(
            subscribe=subscribe,
            keys=(filter,),
            unsubscribe=unsubscribe,
            resumed=resumed,
            name=filter,
        )

    async def _asked(
        self, requests: Requests, kind: int, answer: int, *parts: bytes
    ) -> None:
        number = next(self._ids)
        message = codec.packet(kind, codec.number(number), *parts, flags=2)
        await requests.ask((answer, number), message)

    async def publish(
        self,
        channel: Channel,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 1,
        retain: bool = False,
        **about: Any,
    ) -> None:
        """Publish a message, with QoS 1 until the broker has taken it.

        Args:
            channel: The channel of this protocol.
            topic: The topic, without wildcards.
            payload: The message.
            qos: 1 (default), sent again on the next connection where no answer came; or
                0, sent once.
            retain: Whether the broker keeps it for those who subscribe later.
            about: Properties of version 5, such as ``content_type="text/plain"``.

        Raises:
            CallTimeout: The broker did not answer in time; it may have the message.
            MQTTError: The broker refused it.
            ResilientWSError: The session has ended.
            ValueError: The topic is not one, or too long.

        Cancellation:
            The broker may have the message.
        """
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(
                "A topic to publish to is not empty, and has no wildcards."
            )
        number, flags = next(self._ids), qos << 1 | retain
        parts = (
            codec.text(topic),
            codec.number(number) if qos else b"",
            codec.properties(**about) if self._five else b"",
            payload,
        )
        if not qos:
            await channel.send(codec.packet(codec.PUBLISH, *parts, flags=flags))
            return
        async with self._window:
            while True:
                message = codec.packet(codec.PUBLISH, *parts, flags=flags)
                try:
                    await channel.ask((codec.PUBACK, number), message)
                except CallLost as lost:
                    flags |= codec.DUP if lost.maybe_executed else 0
                else:
                    return
