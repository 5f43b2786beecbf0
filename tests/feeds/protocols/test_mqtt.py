"""MQTT against mosquitto, which is cut off, frozen and killed; and unkind brokers."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

from resilient_ws import Fatal, Reconnect, State, Timeouts, connect
from resilient_ws.feeds import (
    Channel,
    ConsumerTooSlow,
    Gap,
    MessageOdd,
    Stage,
    SubscribeRefused,
)
from resilient_ws.feeds.protocols import (
    MQTT,
    MQTTError,
    MQTTMessage,
    mqtt_codec as codec,
)
from resilient_ws.testing import BlackHole, FaultProxy, Reset, ScriptedServer
from tests.feeds.talk import scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.testing import Peer
    from tests.servers.daemons import Mosquitto


QUICKLY = Reconnect(wait=wait_fixed(0.05))
VERSIONS = pytest.mark.parametrize("version", [4, 5])


def channel(url: str, mqtt: MQTT, **settings: Any) -> Channel:
    session = connect(
        url,
        subprotocols=[MQTT.SUBPROTOCOL],
        reconnect=QUICKLY,
        timeouts=Timeouts(close=0.2),
    )
    return Channel(session, mqtt, **settings)


def payloads(items: list[Any]) -> list[Any]:
    return [
        int(item.payload) if isinstance(item, MQTTMessage) else type(item)
        for item in items
    ]


@contextlib.asynccontextmanager
async def publisher(url: str) -> AsyncIterator[Any]:
    """Return what publishes a number, from a client of its own."""
    mqtt = MQTT()
    async with channel(url, mqtt) as feed:

        async def publish(topic: str, *numbers: int, qos: Any = 1) -> None:
            for number in numbers:
                await mqtt.publish(feed, topic, b"%d" % number, qos=qos)

        yield publish


async def configured(mosquitto: Mosquitto, line: str, instead: str) -> None:
    """Start the broker again with another line in its configuration."""
    config = pathlib.Path(mosquitto.command[-1])
    lines = config.read_text()
    assert line in lines
    config.write_text(lines.replace(line, instead))
    await mosquitto.restart()


@VERSIONS
@pytest.mark.wire
async def test_messages_go_to_the_filters_that_take_them(
    mosquitto: Mosquitto, version: Any
) -> None:
    mqtt = MQTT(version=version)
    async with channel(mosquitto.url, mqtt) as feed:
        exact = await feed.subscribe(mqtt.messages("a/b/c", qos=1))
        level = await feed.subscribe(mqtt.messages("x/+/z"))
        rest = await feed.subscribe(mqtt.messages("$SYS/broker/version"))
        await mqtt.publish(feed, "a/b/c", b"1")
        await mqtt.publish(feed, "x/ü/z", b"2", qos=0)
        await mqtt.publish(feed, "x/y", b"3")
        await mqtt.publish(feed, "x/1/z", b"", qos=1)
        assert await take(exact, 1) == [
            MQTTMessage("a/b/c", b"1", 1, False, False, ours(version, "a/b/c"))
        ]
        found = await take(level, 2)
        assert [(item.topic, item.payload, item.qos) for item in found] == [
            ("x/ü/z", b"2", 0),
            ("x/1/z", b"", 0),
        ]
        (item,) = await take(rest, 1)
        assert b"mosquitto" in item.payload
        assert item.retain


def ours(version: int, name: str) -> dict[str, Any]:
    """Return the properties of a message that has none but its subscription's."""
    number = zlib.crc32(name.encode()) % 0xFFFFFFF + 1
    return {"subscription_identifier": [number]} if version == 5 else {}


@pytest.mark.wire
async def test_filters_that_overlap_get_each_message_once(mosquitto: Mosquitto) -> None:
    mqtt = MQTT()
    async with channel(mosquitto.url, mqtt) as feed:
        filters = "a/#", "a/+", "a/b"
        streams = [await feed.subscribe(mqtt.messages(name, qos=1)) for name in filters]
        for number in range(50):
            await mqtt.publish(feed, "a/b", b"%d" % number)
        for stream in streams:
            assert payloads(await take(stream, 50)) == [*range(50)]
            assert stream.lag == 0


@pytest.mark.wire
async def test_properties_and_large_messages_come_through(mosquitto: Mosquitto) -> None:
    mqtt = MQTT()
    async with channel(mosquitto.url, mqtt) as feed:
        stream = await feed.subscribe(mqtt.messages("t"))
        about: dict[str, Any] = {
            "content_type": "a/b",
            "user": [("k", "v"), ("k", "w")],
        }
        await mqtt.publish(feed, "t", b"x" * 90_000, **about)
        (item,) = await take(stream, 1)
        assert item.payload == b"x" * 90_000
        assert item.properties == about | ours(5, "t")


@VERSIONS
@pytest.mark.wire
async def test_a_thousand_at_once_are_taken(mosquitto: Mosquitto, version: Any) -> None:
    mqtt = MQTT(version=version)
    async with channel(mosquitto.url, mqtt) as feed:
        stream = await feed.subscribe(mqtt.messages("t", qos=1), buffer=2000)
        wishes = [mqtt.publish(feed, "t", b"%d" % number) for number in range(1000)]
        await asyncio.gather(*wishes)
        assert sorted(payloads(await take(stream, 1000))) == [*range(1000)]


@VERSIONS
@pytest.mark.wire
async def test_with_a_session_that_is_kept_a_drop_is_no_gap(
    mosquitto: Mosquitto, version: Any
) -> None:
    mqtt = MQTT(keep=600, version=version)
    async with (
        FaultProxy("127.0.0.1", mosquitto.port) as proxy,
        publisher(mosquitto.url) as publish,
        channel(proxy.url(), mqtt) as feed,
    ):
        stream = await feed.subscribe(mqtt.messages("t/+", qos=1))
        loses = await feed.subscribe(mqtt.messages("u/+", qos=0))
        seen: list[int] = []
        for first in range(0, 500, 100):
            await publish("t/1", *range(first, first + 50))
            proxy.connections[-1].apply(Reset())
            await publish("t/2", *range(first + 50, first + 100))
            while not seen or seen[-1] < first + 99:
                seen += payloads(await take(stream, 1))
        assert [*dict.fromkeys(seen)] == [*range(500)]  # at least once, in order
        assert mqtt.session_present
        assert (stream.gaps, proxy.accepted) == (0, 6)
        assert {type(item) for item in await take(loses, 1)} == {Gap}


@VERSIONS
@pytest.mark.wire
async def test_without_one_each_drop_is_a_gap(
    mosquitto: Mosquitto, version: Any
) -> None:
    mqtt = MQTT(version=version)
    async with (
        FaultProxy("127.0.0.1", mosquitto.port) as proxy,
        publisher(mosquitto.url) as publish,
        channel(proxy.url(), mqtt) as feed,
    ):
        stream = await feed.subscribe(mqtt.messages("t", qos=1))
        await publish("t", 1)
        assert payloads(await take(stream, 1)) == [1]
        proxy.connections[-1].apply(Reset())
        assert payloads(await take(stream, 1)) == [Gap]
        await until(lambda: stream.state is Stage.LIVE)
        assert not mqtt.session_present


@pytest.mark.wire
async def test_a_broker_that_is_killed_has_forgotten_us(mosquitto: Mosquitto) -> None:
    mqtt = MQTT(keep=600)
    async with channel(mosquitto.url, mqtt) as feed:
        stream = await feed.subscribe(mqtt.messages("t", qos=1))
        for number in range(1, 4):
            await mqtt.publish(feed, "t", b"%d" % number)
            assert payloads(await take(stream, 1)) == [number]
            await mosquitto.restart()
            assert payloads(await take(stream, 1)) == [Gap]
            assert not mqtt.session_present
        # Sent while there is no broker, and taken by the next.
        await mosquitto.kill()
        sent = asyncio.create_task(mqtt.publish(feed, "t", b"4"))
        await mosquitto.start()
        await sent


@pytest.mark.wire
async def test_a_broker_with_a_memory_sends_what_was_missed(
    mosquitto: Mosquitto,
) -> None:
    saves = "persistence true\nautosave_interval 1\nautosave_on_changes true"
    await configured(mosquitto, "persistence false", saves)
    mqtt = MQTT(client_id="kept", keep=600)
    async with (
        FaultProxy("127.0.0.1", mosquitto.port) as proxy,
        publisher(mosquitto.url) as publish,
        channel(proxy.url(), mqtt) as feed,
    ):
        stream = await feed.subscribe(mqtt.messages("t", qos=1))
        await publish("t", *range(10))
        assert payloads(await take(stream, 10)) == [*range(10)]
        proxy.connections[-1].apply(BlackHole())
        await publish("t", *range(10, 500))
        assert await mosquitto.stop() == 0
        await mosquitto.start()
        proxy.connections[-1].apply(Reset())
        seen: list[int] = []
        while not seen or seen[-1] < 499:
            seen += payloads(await take(stream, 1))
        assert {*range(10, 500)} <= set(seen) <= {*range(500)}
        assert stream.gaps == 0


@VERSIONS
@pytest.mark.wire
async def test_a_program_that_starts_again_gets_what_was_kept(
    mosquitto: Mosquitto, version: Any
) -> None:
    mqtt = MQTT(client_id="again", keep=600, version=version)
    async with channel(mosquitto.url, mqtt) as feed:
        await feed.subscribe(mqtt.messages("t/#", qos=1))
    async with publisher(mosquitto.url) as publish:
        await publish("t/1", *range(90))
    mqtt = MQTT(client_id="again", keep=600, version=version)
    source = mqtt.messages("t/#", qos=1)
    async with channel(mosquitto.url, mqtt) as feed:
        stream = await feed.subscribe(source)
        assert mqtt.session_present
        assert payloads(await take(stream, 90)) == [*range(90)]


@pytest.mark.wire
async def test_a_frozen_broker_is_left(mosquitto: Mosquitto) -> None:
    mqtt = MQTT(keepalive=1, keep=600)
    async with (
        FaultProxy("127.0.0.1", mosquitto.port) as proxy,
        channel(proxy.url(), mqtt) as feed,
    ):
        stream = await feed.subscribe(mqtt.messages("t", qos=1))
        proxy.connections[-1].apply(BlackHole("down"))
        await until(lambda: proxy.accepted == 2)
        await mqtt.publish(feed, "t", b"1")
        assert payloads(await take(stream, 1)) == [1]


@pytest.mark.wire
async def test_an_idle_link_is_kept_alive(mosquitto: Mosquitto) -> None:
    mqtt = MQTT(keepalive=1)
    async with (
        FaultProxy("127.0.0.1", mosquitto.port) as proxy,
        channel(proxy.url(), mqtt) as feed,
    ):
        await asyncio.sleep(4)  # mosquitto ends a client that is silent for 1.5 s
        await mqtt.publish(feed, "t", b"1")
        assert proxy.accepted == 1


@pytest.mark.wire
async def test_a_slow_consumer_is_told_what_it_missed(mosquitto: Mosquitto) -> None:
    mqtt = MQTT()
    async with (
        channel(mosquitto.url, mqtt) as feed,
        publisher(mosquitto.url) as publish,
    ):
        stream = await feed.subscribe(mqtt.messages("t", qos=1), buffer=10)
        await publish("t", *range(100))
        await until(lambda: stream.dropped == 90)
        found = await take(stream, 11)
        assert payloads(found) == [*range(10), Gap]
        assert isinstance(found[-1].because, ConsumerTooSlow)


@VERSIONS
@pytest.mark.wire
async def test_a_stream_that_is_closed_is_unsubscribed(
    mosquitto: Mosquitto, version: Any
) -> None:
    mqtt = MQTT(version=version)
    async with channel(mosquitto.url, mqtt) as feed:
        source = mqtt.messages("t", qos=1)
        async with await feed.subscribe(source):
            pass
        await mqtt.publish(feed, "t", b"1")
        stream = await feed.subscribe(source)
        await mqtt.publish(feed, "t", b"2")
        assert payloads(await take(stream, 1)) == [2]


@VERSIONS
@pytest.mark.wire
async def test_a_wrong_password_ends_the_session(
    mosquitto: Mosquitto, version: Any
) -> None:
    await configured(mosquitto, "allow_anonymous true", "allow_anonymous false")
    mqtt = MQTT(username="me", password="wr0ng", version=version)
    with pytest.raises(Fatal, match="0x") as refused:
        await channel(mosquitto.url, mqtt).__aenter__()
    assert "wr0ng" not in str(refused.value) + repr(mqtt)


def test_what_cannot_be_asked_for_is_refused_here() -> None:
    with pytest.raises(ValueError, match="65,535"):
        MQTT("x" * 70_000)


# What no good broker does.

CONNACK = codec.packet(codec.CONNACK, b"\0\0\0")


def message(topic: str, payload: bytes, packet_id: int = 0) -> bytes:
    number = codec.number(packet_id) if packet_id else b""
    flags = 2 if packet_id else 0
    parts = codec.text(topic), number, b"\0", payload
    return codec.packet(codec.PUBLISH, *parts, flags=flags)


def offline(server: ScriptedServer, mqtt: MQTT, **settings: Any) -> Channel:
    session = connect(server.url(), subprotocols=[MQTT.SUBPROTOCOL], wait_open=False)
    return Channel(session, mqtt, **settings)


async def greeted(server: ScriptedServer, connack: bytes = CONNACK) -> Peer:
    peer = await server.accept(subprotocol=MQTT.SUBPROTOCOL)
    await peer.expect(lambda m: m[0] == codec.CONNECT << 4)
    await peer.send(connack)
    return peer


async def granted(peer: Peer, code: int = 0) -> None:
    """Answer the next SUBSCRIBE."""
    await peer.send(suback(await peer.expect(lambda m: m[0] == 0x82), code))


def suback(wish: str | bytes, code: int) -> bytes:
    """Return the answer to a SUBSCRIBE."""
    assert isinstance(wish, bytes)
    return codec.packet(codec.SUBACK, wish[2:4], b"\0", bytes([code]))


async def test_packets_that_share_the_message_of_the_login_are_not_lost() -> None:
    mqtt = MQTT()
    source = mqtt.messages("t", qos=1)
    async with scripted() as server, offline(server, mqtt) as feed:
        early = b"".join(message("t", b"%d" % n, n) for n in range(1, 1001))
        present = codec.packet(codec.CONNACK, b"\1\0\0")
        wire = present + early
        peer = await server.accept(subprotocol=MQTT.SUBPROTOCOL)
        await peer.receive()
        subscribing = asyncio.create_task(feed.subscribe(source, buffer=2000))
        await asyncio.sleep(0)
        await peer.send(wire[:3], wire[3:500], wire[500:])
        came = [await peer.receive() for _ in range(1001)]
        acks = [m for m in came if m[0] == codec.PUBACK << 4]
        numbers = range(1, 1001)
        assert acks == [codec.packet(codec.PUBACK, codec.number(n)) for n in numbers]
        (wish,) = [m for m in came if m[0] == 0x82]
        await peer.send(suback(wish, 1))
        stream = await subscribing
        assert payloads(await take(stream, 1000)) == [*range(1, 1001)]


async def test_a_refused_subscription_says_so() -> None:
    mqtt = MQTT()
    async with scripted() as server, offline(server, mqtt) as feed:
        peer = await greeted(server)
        wish = asyncio.create_task(feed.subscribe(mqtt.messages("secret/#")))
        await granted(peer, 0x87)
        with pytest.raises(SubscribeRefused) as refused:
            await wish
        assert isinstance(refused.value.__cause__, MQTTError)
        assert refused.value.__cause__.code == 0x87


async def test_a_broker_that_is_busy_is_asked_again() -> None:
    async with scripted() as server, offline(server, MQTT()) as feed:
        await greeted(server, codec.packet(codec.CONNACK, b"\0\x89\0"))
        await greeted(server)
        await feed._session.wait_until(State.OPEN)


@pytest.mark.parametrize(
    "bad",
    [b"\x30\xff\xff\xff\xff", "text", b"\x30\x01\0", b"\x36\x05\0\1t\0\1", b"\x40\1\0"],
)
async def test_what_is_not_mqtt_has_the_connection_replaced(bad: Any) -> None:
    odd: list[MessageOdd] = []
    async with scripted() as server, offline(server, MQTT(), report=odd.append) as feed:
        peer = await greeted(server)
        await peer.send(bad)
        await greeted(server)
        await feed._session.wait_until(State.OPEN)
        assert odd


async def test_odd_packets_do_no_harm() -> None:
    odd: list[MessageOdd] = []
    mqtt = MQTT()
    async with scripted() as server, offline(server, mqtt, report=odd.append) as feed:
        peer = await greeted(server)
        wish = asyncio.create_task(feed.subscribe(mqtt.messages("t")))
        await granted(peer)
        stream = await wish
        nobody = codec.packet(codec.PUBACK, codec.number(9))
        await peer.send(
            b"\xe0\x01\x8e", b"\x10\0", nobody, b"\xd0\0", message("?", b"1")
        )
        await peer.send(message("t", b"7"))
        assert payloads(await take(stream, 1)) == [7]
        kinds = ["malformed", "malformed", "unexpected"]
        assert [what.kind for what in odd] == kinds


async def test_a_message_that_was_sent_is_marked_when_it_is_sent_again() -> None:
    mqtt = MQTT()
    async with scripted() as server, offline(server, mqtt) as feed:
        peer = await greeted(server)
        sent = asyncio.create_task(mqtt.publish(feed, "t", b"1", retain=True))
        first = await peer.expect(lambda m: m[0] == 0x33)
        await peer.drop()
        peer = await greeted(server)
        again = await peer.expect(lambda m: m[0] == 0x3B)
        assert isinstance(again, bytes)
        assert again[1:] == first[1:]
        await peer.send(codec.packet(codec.PUBACK, again[5:7]))
        await sent


async def test_a_broker_with_a_smaller_window_says_so_at_once() -> None:
    async with scripted() as server:
        about = codec.properties(receive_maximum=5)
        feed = Channel(connect(server.url(), subprotocols=["mqtt"]), MQTT())
        entering = asyncio.create_task(feed.__aenter__())
        await greeted(server, codec.packet(codec.CONNACK, b"\0\0", about))
        with pytest.raises(Fatal, match="in_flight"):
            await entering


async def test_the_broker_sets_the_keepalive() -> None:
    async with scripted() as server:
        mqtt = MQTT(keepalive=600)
        async with offline(server, mqtt):
            about = codec.properties(keepalive=20)
            peer = await greeted(server, codec.packet(codec.CONNACK, b"\0\0", about))
            await peer.expect(b"\xc0\0", within=11)
            assert mqtt.beat_interval == 10
