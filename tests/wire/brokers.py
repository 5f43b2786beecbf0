"""Two brokers by hand: packets of MQTT 3.1.1 and of NATS, and who listens there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resilient_ws import Connection


CONNACK: Final = 0x20
PUBLISH: Final = 0x30
SUBACK: Final = 0x90

_LISTENING: Final = 10.0


def mqtt(kind: int, body: bytes) -> bytes:
    """One packet of MQTT 3.1.1 that is shorter than 128 bytes."""
    assert len(body) < 128
    return bytes((kind, len(body))) + body


def mqtt_text(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def mqtt_hello(name: str) -> bytes:
    hello = mqtt_text("MQTT") + struct.pack("!BBH", 4, 2, 60)
    return mqtt(0x10, hello + mqtt_text(name))


def mqtt_wish(number: int, topic: str) -> bytes:
    return mqtt(0x82, struct.pack("!H", number) + mqtt_text(topic) + b"\x00")


def publication(topic: str, text: str) -> bytes:
    return mqtt(PUBLISH, mqtt_text(topic) + text.encode())


def of_kind(kind: int) -> Any:
    return lambda packet: packet[0] == kind


class Client:
    """An MQTT client whose session restores itself."""

    def __init__(self, name: str, *topics: str) -> None:
        self._name = name
        self._topics = topics

    async def on_open(self, connection: Connection) -> None:
        await connection.send(mqtt_hello(self._name))
        answer = await connection.receive(matching=of_kind(CONNACK))
        assert answer == bytes((CONNACK, 2, 0, 0))
        for number, topic in enumerate(self._topics, 1):
            await connection.send(mqtt_wish(number, topic))
            granted = await connection.receive(matching=of_kind(SUBACK))
            assert granted == mqtt(SUBACK, struct.pack("!HB", number, 0))


def nats_publication(topic: str, text: str) -> bytes:
    return f"PUB {topic} {len(text)}\r\n{text}\r\n".encode()


async def nats_hello(connection: Connection) -> None:
    """Greet a NATS server, which speaks first."""
    await connection.receive(matching=lambda packet: packet[:5] == b"INFO ")
    await connection.send(b'CONNECT {"verbose": false}\r\n')


# --- a second client, of another hand --------------------------------------------


def mqtt_texts(stream: bytearray) -> list[str]:
    """Take whole packets off a stream; return what was published in them."""
    found: list[str] = []
    while len(stream) >= 2 and len(stream) >= 2 + stream[1]:
        kind, size = stream[:2]
        assert size < 128
        body = bytes(stream[2 : 2 + size])
        del stream[: 2 + size]
        if kind == PUBLISH:
            found.append(body[2 + int.from_bytes(body[:2]) :].decode())
    return found


_NATS_MESSAGE: Final = re.compile(rb"MSG \S+ \S+ (\d+)\r\n")


def nats_texts(stream: bytearray) -> list[str]:
    """Take whole messages off a stream; return their texts."""
    found: list[str] = []
    while (head := _NATS_MESSAGE.search(stream)) is not None:
        end = head.end() + int(head[1])
        if len(stream) < end + 2:
            break
        found.append(stream[head.end() : end].decode())
        del stream[: end + 2]
    return found


async def _until_mqtt_listens(client: ClientConnection, topic: str) -> None:
    await client.send(mqtt_hello("second"))
    assert await client.recv() == bytes((CONNACK, 2, 0, 0))
    await client.send(mqtt_wish(1, topic))
    assert await client.recv() == mqtt(SUBACK, b"\x00\x01\x00")


async def _until_nats_listens(client: ClientConnection, topic: str) -> None:
    await client.send(f'CONNECT {{"verbose": false}}\r\nSUB {topic} 1\r\nPING\r\n')
    stream = b""
    while b"PONG\r\n" not in stream:
        part = await client.recv()
        assert isinstance(part, bytes)
        stream += part


@contextlib.asynccontextmanager
async def _listening(
    client: ClientConnection, take: Callable[[bytearray], list[str]]
) -> AsyncIterator[list[str]]:
    texts: list[str] = []

    async def listen() -> None:
        stream = bytearray()
        with contextlib.suppress(ConnectionClosed):
            while True:
                part = await client.recv()
                assert isinstance(part, bytes)
                stream += part
                texts.extend(take(stream))

    listener = asyncio.create_task(listen())
    try:
        yield texts
    finally:
        listener.cancel()
        await asyncio.wait({listener})
    if not listener.cancelled():
        listener.result()


@contextlib.asynccontextmanager
async def mqtt_listener(url: str, topic: str) -> AsyncIterator[list[str]]:
    """Subscribe; the list grows by what is published."""
    dial = connect(f"{url}/mqtt", subprotocols=[Subprotocol("mqtt")], proxy=None)
    async with dial as client:
        async with asyncio.timeout(_LISTENING):
            await _until_mqtt_listens(client, topic)
        async with _listening(client, mqtt_texts) as texts:
            yield texts


@contextlib.asynccontextmanager
async def nats_listener(url: str, topic: str) -> AsyncIterator[list[str]]:
    """Subscribe; the list grows by what is published."""
    async with connect(url, proxy=None) as client:
        async with asyncio.timeout(_LISTENING):
            await _until_nats_listens(client, topic)
        async with _listening(client, nats_texts) as texts:
            yield texts
