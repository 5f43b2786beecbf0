"""The packets of MQTT that a client sends and gets, one class for each.

Rules: nothing here does any I/O. Whatever a broker sends is a packet, or raises
``Unreadable``.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import attrs

from resilient_ws.feeds.errors import RequestRefused, Unreadable
from resilient_ws.feeds.protocols import mqtt_codec as codec


if TYPE_CHECKING:
    from resilient_ws.feeds.protocols.mqtt_codec import Reader
    from resilient_ws.protocol.message import Message


#: Reason codes from this one on are failures.
_FAILURE: Final = 0x80
#: Logins that never succeed, by version: the client's fault, or its credentials'.
_FATAL: Final = {
    4: frozenset({1, 2, 4, 5}),
    5: frozenset({0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x95}),
}
#: What the login is called among the requests, by the type of its answer.
LOGIN: Final = (codec.CONNACK, 0)
#: Messages that a broker may send before the first is acknowledged.
_RECEIVE: Final = 256


class MQTTError(RequestRefused):
    """The broker refused a request.

    Attributes:
        code: The reason code.
    """

    def __init__(self, code: int, *, temporary: bool = False) -> None:
        text = f"The broker refused: reason code 0x{code:02x}."
        super().__init__({"code": code, "temporary": temporary}, text)


@attrs.frozen
class MQTTMessage:
    """A message that a broker sent.

    Attributes:
        topic: Its topic.
        payload: What was published.
        qos: Its quality of service, 0 or 1.
        retain: Whether the broker had kept it, and sends it to a new subscription.
        dup: Whether the broker may have sent it before, with QoS 1.
        properties: Those of version 5, such as ``content_type``, ``response_topic``,
            ``correlation_data``, and ``user``, a list of pairs.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    properties: dict[str, Any] = attrs.Factory(dict[str, Any])


# What a client sends.


@attrs.frozen
class Connect:
    """The login, as ``MQTT`` has it."""

    client_id: str | None
    keep: int
    username: str | None
    password: str | bytes | None = attrs.field(repr=False)
    keepalive: int

    def encode(self, version: int, max_packet: int) -> bytes:
        """Return the packet."""
        credentials = (self.username, self.password)
        given = [codec.text(part) for part in credentials if part is not None]
        flags = (self.username is not None) << 7 | (self.password is not None) << 6
        flags |= (not self.keep) << 1
        about = codec.properties(
            session_expiry=self.keep,
            receive_maximum=_RECEIVE,
            maximum_packet=max_packet,
        )
        random = f"rws-{secrets.token_hex(8)}"
        return codec.packet(
            codec.CONNECT,
            codec.text("MQTT") + bytes([version, flags]),
            codec.number(self.keepalive),
            about if version == codec.FIVE else b"",
            codec.text(random if self.client_id is None else self.client_id),
            *given,
        )


@attrs.frozen
class Subscribe:
    """Asks for the messages whose topics match a filter."""

    ANSWER: ClassVar[int] = codec.SUBACK

    filter: str
    qos: int
    subscription: int

    def encode(self, version: int, number: int) -> bytes:
        """Return the packet with a number."""
        five = version == codec.FIVE
        about = codec.properties(subscription_identifier=self.subscription)
        # Version 5: what is retained only for a new subscription.
        option = self.qos | 0x10 if five else self.qos
        return codec.packet(
            codec.SUBSCRIBE,
            codec.number(number),
            about if five else b"",
            codec.text(self.filter) + bytes([option]),
            flags=2,
        )


@attrs.frozen
class Unsubscribe:
    """Ends a subscription."""

    ANSWER: ClassVar[int] = codec.UNSUBACK

    filter: str

    def encode(self, version: int, number: int) -> bytes:
        """Return the packet with a number."""
        about = b"\0" if version == codec.FIVE else b""
        parts = codec.number(number), about, codec.text(self.filter)
        return codec.packet(codec.UNSUBSCRIBE, *parts, flags=2)


@attrs.frozen
class Publish:
    """A message, sent with a number where its quality of service is 1."""

    ANSWER: ClassVar[int] = codec.PUBACK

    message: MQTTMessage

    def encode(self, version: int, number: int, *, dup: bool = False) -> bytes:
        """Return the packet with a number.

        Args:
            version: The version of MQTT.
            number: The number.
            dup: Whether the broker may have got it before.
        """
        message = self.message
        about = codec.properties(**message.properties)
        return codec.packet(
            codec.PUBLISH,
            codec.text(message.topic),
            codec.number(number) if message.qos else b"",
            about if version == codec.FIVE else b"",
            message.payload,
            flags=message.qos << 1 | message.retain | (codec.DUP if dup else 0),
        )


def ping() -> bytes:
    """Return a sign of life."""
    return codec.packet(codec.PINGREQ)


def acknowledgement(number: int) -> bytes:
    """Return the acknowledgement of a message."""
    return codec.packet(codec.PUBACK, codec.number(number))


# What a client gets.


@attrs.frozen
class Connack:
    """The answer to the login.

    Attributes:
        present: Whether the broker kept what it knows of us.
        about: Properties of version 5.
    """

    present: bool
    about: dict[str, Any]


@attrs.frozen
class Published:
    """A message.

    Attributes:
        message: The message.
        number: The number to acknowledge; 0 for none.
    """

    message: MQTTMessage
    number: int


@attrs.frozen
class Ack:
    """The answer to a request.

    Attributes:
        request: The type of the answer, and the number of the request.
        value: The reason code; a ``Connack`` for the login.
        refused: The error, where it is one.
    """

    request: tuple[int, int]
    value: Connack | int
    refused: MQTTError | None


@attrs.frozen
class Other:
    """A packet with which nothing is to be done.

    Attributes:
        odd: What is wrong with it, where something is.
    """

    odd: str | None


Packet: TypeAlias = Published | Ack | Other


class Packets:
    """What a broker sends on one connection after the other.

    Args:
        version: The version of MQTT.
        limit: The most bytes of a packet.
    """

    def __init__(self, version: int, limit: int) -> None:
        self._version = version
        self._limit = limit
        self.begin()

    def begin(self) -> None:
        """Take note of a new connection."""
        self._splitter = codec.Splitter(self._limit)

    def take(self, message: Message) -> list[Packet]:
        """Return the packets that a message completes.

        Raises:
            Unreadable: It is not MQTT.
        """
        found: list[Packet] = []
        try:
            self._splitter.put(message)
            while (part := self._splitter.next()) is not None:
                found.append(_decoded(*part, self._version))
        except ValueError as failure:
            raise Unreadable(str(failure)) from None
        return found


def _decoded(first: int, body: Reader, version: int) -> Packet:
    match first >> 4:
        case codec.PUBLISH:
            return published(first & 0xF, body, version)
        case codec.PUBACK | codec.SUBACK | codec.UNSUBACK as kind:
            number = body.number()
            if version == codec.FIVE and kind != codec.PUBACK:
                body.properties()
            code = body.byte() if body else 0
            refused = MQTTError(code) if code >= _FAILURE else None
            return Ack((kind, number), code, refused)
        case codec.PINGRESP:
            return Other(None)
        case codec.CONNACK:
            return _connack(body, version)
        case codec.DISCONNECT:
            code = body.byte() if body else 0
            return Other(f"the broker disconnects: 0x{code:02x}")
        case _:
            return Other("a packet that is not for a client")


def _connack(body: Reader, version: int) -> Ack:
    present, code = body.byte() == 1, body.byte()
    about = body.properties() if version == codec.FIVE and body else {}
    temporary = code not in _FATAL[version]
    refused = MQTTError(code, temporary=temporary) if code else None
    return Ack(LOGIN, Connack(present, about), refused)


def published(flags: int, body: Reader, version: int) -> Published:
    """Return the message of a PUBLISH."""
    qos = flags >> 1 & 3
    if qos > 1:
        raise ValueError("A message has a quality of service that was not asked for.")
    topic = body.text()
    number = body.number() if qos else 0
    about = body.properties() if version == codec.FIVE else {}
    retain, dup = bool(flags & codec.RETAIN), bool(flags & codec.DUP)
    return Published(MQTTMessage(topic, body.take(), qos, retain, dup, about), number)
