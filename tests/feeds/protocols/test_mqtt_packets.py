"""The packets of MQTT: what a broker sends, and what a client does."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds import Unreadable
from resilient_ws.feeds.protocols import mqtt_codec as codec, mqtt_packets as packets
from resilient_ws.feeds.protocols.mqtt_packets import (
    Ack,
    Connack,
    MQTTMessage,
    Packets,
    Publish,
    Published,
    Subscribe,
    Unsubscribe,
)


VERSIONS = pytest.mark.parametrize("version", [4, 5])


@VERSIONS
def test_a_message_comes_back_as_it_was_sent(version: int) -> None:
    about = {"content_type": "a/b"} if version == codec.FIVE else {}
    message = MQTTMessage("a/b", b"\0\xff", 1, True, False, about)
    wire = Publish(message).encode(version, 7)
    again = Publish(message).encode(version, 7, dup=True)
    assert (again[0], again[1:]) == (wire[0] | codec.DUP, wire[1:])
    found = Packets(version, 1000).take(wire)
    assert found == [Published(message, 7)]


@VERSIONS
def test_a_login_that_is_refused_says_whether_that_lasts(version: int) -> None:
    busy, wrong = (3, 4) if version == 4 else (0x89, 0x86)
    tail = b"\0" if version == codec.FIVE else b""
    for code, temporary in ((busy, True), (wrong, False)):
        wire = codec.packet(codec.CONNACK, bytes([0, code]), tail)
        (ack,) = Packets(version, 1000).take(wire)
        assert isinstance(ack, Ack)
        assert ack.refused is not None
        assert (ack.refused.code, ack.refused.temporary) == (code, temporary)


def test_a_login_that_is_accepted_says_what_the_broker_kept() -> None:
    about = codec.properties(receive_maximum=5)
    wire = codec.packet(codec.CONNACK, b"\1\0", about)
    granted = Connack(present=True, about={"receive_maximum": 5})
    assert Packets(5, 1000).take(wire) == [Ack(packets.LOGIN, granted, None)]


def test_requests_are_those_of_the_standard() -> None:
    assert Subscribe("a/b", 1, 1).encode(4, 10).hex() == "8208000a0003612f6201"
    assert Subscribe("a/b", 1, 1).encode(5, 10).hex() == "820b000a020b010003612f6211"
    assert Unsubscribe("a/b").encode(4, 10).hex() == "a207000a0003612f62"
    assert Unsubscribe("a/b").encode(5, 10).hex() == "a208000a000003612f62"


def test_no_text_shows_a_password() -> None:
    assert "s3cret" not in repr(packets.Connect("me", 0, "me", "s3cret", 60))


@given(wire=st.binary(max_size=100), version=st.sampled_from([4, 5]))
def test_whatever_comes_is_read_or_unreadable(wire: bytes, version: int) -> None:
    try:
        Packets(version, 1000).take(wire)
    except Unreadable:
        return


def test_qos_2_was_not_asked_for() -> None:
    body = codec.text("a") + codec.number(1)
    with pytest.raises(Unreadable, match="quality"):
        Packets(4, 1000).take(codec.packet(codec.PUBLISH, body, flags=4))


def test_a_new_connection_begins_with_a_new_packet() -> None:
    found = Packets(4, 1000)
    assert found.take(b"\xd0") == []
    found.begin()
    assert found.take(b"\xd0\0") == [packets.Other(None)]
