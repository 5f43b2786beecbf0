"""The parts of MQTT packets, by the examples and the rules of the standard."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds.protocols import mqtt_codec as codec


def fed(
    splitter: codec.Splitter, message: str | bytes
) -> list[tuple[int, codec.Reader]]:
    """Return the packets that a message completes."""
    splitter.put(message)
    found = []
    while (packet := splitter.next()) is not None:
        found.append(packet)
    return found


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_numbers_of_the_standards_table(value: int, wire: str) -> None:
    assert codec.varint(value).hex() == wire
    assert codec.Reader(bytes.fromhex(wire)).varint() == value


def test_what_is_too_long_is_not_packed() -> None:
    with pytest.raises(ValueError, match="268,435,455"):
        codec.varint(268_435_456)
    with pytest.raises(ValueError, match="65,535"):
        codec.text("é" * 40_000)
    with pytest.raises(ValueError, match="NUL"):
        codec.text("a\0b")


ABOUT = {
    "payload_format": 1,
    "message_expiry": 70_000,
    "content_type": "text/plain",
    "correlation_data": b"\0\xff",
    "user": [("a", "1"), ("a", "2")],
    "receive_maximum": 20,
}


def test_properties_come_back_as_they_were() -> None:
    wire = codec.properties(**ABOUT, subscription_identifier=300, reason=None)
    expected = ABOUT | {"subscription_identifier": [300]}
    assert codec.Reader(wire).properties() == expected


@given(
    bodies=st.lists(st.binary(max_size=300), max_size=8),
    cuts=st.lists(st.integers(0, 2500), max_size=12),
)
def test_packets_span_and_share_messages(bodies: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(codec.packet(codec.PUBLISH, body, flags=2) for body in bodies)
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    packets = codec.Splitter(300)
    found = [
        packet
        for start, end in itertools.pairwise(edges)
        for packet in fed(packets, wire[start:end])
    ]
    assert [(first, body.take()) for first, body in found] == [
        (0x32, body) for body in bodies
    ]


def test_a_large_packet_is_refused_by_its_header() -> None:
    packets = codec.Splitter(1000)
    with pytest.raises(ValueError, match="larger"):
        fed(packets, b"\x30" + codec.varint(1001))
    with pytest.raises(ValueError, match="four bytes"):
        fed(codec.Splitter(1 << 40), b"\x30\x80\x80\x80\x80\x01")
    with pytest.raises(ValueError, match="text"):
        fed(codec.Splitter(1000), "hello")
