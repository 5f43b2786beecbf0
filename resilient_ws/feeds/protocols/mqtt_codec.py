"""The parts of MQTT packets, packed and unpacked: versions 3.1.1 and 5 of the standard.

Rules: nothing here does any I/O, and nothing that a broker sends raises anything but
``ValueError``. A packet is looked at once all of it is there, and one that is larger
than allowed is refused by its header.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds.errors import Unreadable


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# Types of packets, and how many bits the flags below them have.
CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
_FLAGS = 4
#: In the flags of a PUBLISH.
DUP: Final = 0x08
RETAIN: Final = 0x01
#: The version of MQTT that has properties and reason codes.
FIVE: Final = 5

#: The most bytes of a string, and of the length of a packet.
_MAX_STRING, _MAX_LENGTH = 0xFFFF, 4
#: The properties of version 5: their names here, and their formats.
_PROPERTIES: Final = {
    0x01: ("payload_format", "B"),
    0x02: ("message_expiry", "I"),
    0x03: ("content_type", "s"),
    0x08: ("response_topic", "s"),
    0x09: ("correlation_data", "b"),
    0x0B: ("subscription_identifier", "v"),
    0x11: ("session_expiry", "I"),
    0x12: ("client_id", "s"),
    0x13: ("keepalive", "H"),
    0x15: ("authentication_method", "s"),
    0x16: ("authentication_data", "b"),
    0x1A: ("response_information", "s"),
    0x1C: ("server_reference", "s"),
    0x1F: ("reason", "s"),
    0x21: ("receive_maximum", "H"),
    0x22: ("topic_alias_maximum", "H"),
    0x23: ("topic_alias", "H"),
    0x24: ("maximum_qos", "B"),
    0x25: ("retain_available", "B"),
    0x26: ("user", "p"),
    0x27: ("maximum_packet", "I"),
    0x28: ("wildcards_available", "B"),
    0x29: ("identifiers_available", "B"),
    0x2A: ("shared_available", "B"),
}
_IDS: Final = {name: (code, kind) for code, (name, kind) in _PROPERTIES.items()}
#: Those that may come several times: each is a list.
_LISTS: Final = frozenset({"subscription_identifier", "user"})


# Packing.


def packet(kind: int, *parts: bytes, flags: int = 0) -> bytes:
    """Return a packet of a type."""
    body = b"".join(parts)
    return bytes([kind << _FLAGS | flags]) + varint(len(body)) + body


def number(value: int) -> bytes:
    """Return a number of two bytes."""
    return value.to_bytes(2, "big")


def text(value: str | bytes) -> bytes:
    """Return a string, or binary data, behind its length.

    Raises:
        ValueError: It is too long, or has a NUL.
    """
    data = value.encode() if isinstance(value, str) else value
    if len(data) > _MAX_STRING or (isinstance(value, str) and "\0" in value):
        raise ValueError("A string of MQTT has at most 65,535 bytes, and no NUL.")
    return number(len(data)) + data


def varint(value: int) -> bytes:
    """Return a number of one to four bytes, seven bits in each."""
    if not 0 <= value < 1 << 7 * _MAX_LENGTH:
        raise ValueError("A packet of MQTT has at most 268,435,455 bytes.")
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def properties(**values: Any) -> bytes:
    """Return the properties of version 5, without those that are ``None``."""
    out = bytearray()
    for name, value in values.items():
        code, kind = _IDS[name]
        if value is None:
            continue
        for one in value if name == "user" else [value]:
            out.append(code)
            out += _PACK[kind](one) if kind in _PACK else struct.pack(f">{kind}", one)
    return varint(len(out)) + bytes(out)


_PACK: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "s": text,
    "b": text,
    "v": varint,
    "p": lambda pair: text(pair[0]) + text(pair[1]),
}


# Unpacking.


class Splitter:
    """Splits what arrives into packets, which may span messages or share them.

    Args:
        limit: The most bytes of a packet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._at = 0
        self._rest = bytearray()

    def put(self, message: str | bytes) -> None:
        """Take a message.

        Raises:
            Unreadable: It is not MQTT.
        """
        if isinstance(message, str):
            raise Unreadable("A text message is not MQTT.")
        del self._rest[: self._at]
        self._at = 0
        self._rest += message

    def next(self) -> tuple[int, Reader] | None:
        """Return the first byte of the next packet and its body, if all of it is there.

        Raises:
            Unreadable: It is too large, or has no length.
        """
        body = self._length(self._at)
        if body is None or sum(body) > len(self._rest):
            return None
        first, self._at = self._rest[self._at], sum(body)
        return first, Reader(bytes(self._rest[body[0] : self._at]))

    def _length(self, start: int) -> tuple[int, int] | None:
        """Return where the body of a packet begins, and its length."""
        length = 0
        for index, byte in enumerate(self._rest[start + 1 : start + 1 + _MAX_LENGTH]):
            length |= (byte & 0x7F) << 7 * index
            if length > self._limit:
                raise Unreadable("A packet is larger than allowed.")
            if not byte & 0x80:
                return start + 2 + index, length
        if len(self._rest) > start + _MAX_LENGTH:
            raise Unreadable("The length of a packet has more than four bytes.")
        return None


class Reader:
    """Reads the body of a packet from its beginning to its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def take(self, count: int | None = None) -> bytes:
        """Return the next bytes, or all that are left."""
        left = len(self._data) - self._at
        count = left if count is None else count
        if count > left:
            raise ValueError("A packet ends too early.")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        """Return a number of one byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Return a number of two bytes."""
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        """Return binary data behind its length."""
        return self.take(self.number())

    def text(self) -> str:
        """Return a string behind its length."""
        return self.binary().decode()  # a UnicodeDecodeError is a ValueError

    def varint(self) -> int:
        """Return a number of one to four bytes."""
        value = 0
        for shift in range(0, 7 * _MAX_LENGTH, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise ValueError("A number has more than four bytes.")

    def properties(self) -> dict[str, Any]:
        """Return the properties of version 5 by their names."""
        part = Reader(self.take(self.varint()))
        found: dict[str, Any] = {}
        while part:
            code = part.byte()
            if code not in _PROPERTIES:
                raise ValueError("A property is unknown.")
            name, kind = _PROPERTIES[code]
            value = part.value(kind)
            if name in _LISTS:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        return found

    def value(self, kind: str) -> Any:
        """Return the value of a property."""
        match kind:
            case "s":
                return self.text()
            case "b":
                return self.binary()
            case "v":
                return self.varint()
            case "p":
                return self.text(), self.text()
            case _:
                return int.from_bytes(self.take(struct.calcsize(f">{kind}")), "big")
