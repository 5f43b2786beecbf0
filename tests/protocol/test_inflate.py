"""Compressed messages of the server: what they become, and what is refused."""

from __future__ import annotations

import os
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.inflate import BadDeflate, Inflater
from resilient_ws.protocol.violation import Violation
from tests.protocol import server_frame
from tests.protocol.compressed import (
    HELLO,
    HELLO_AGAIN,
    HELLO_FINAL,
    HELLO_STORED,
    HELLO_TWO_BLOCKS,
    KIB,
    MIB,
    RSV1,
    deflating,
    final,
    frame,
    in_pieces,
    rest,
    squeezed,
)
from tests.protocol.owner import ROOM


#: Each of them on each zlib.
pytestmark = pytest.mark.usefixtures("each_zlib")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


# The examples of the RFC


@pytest.mark.parametrize(
    "payload", [HELLO, HELLO_STORED, HELLO_FINAL, HELLO_TWO_BLOCKS]
)
def test_the_examples_of_the_rfc_inflate(payload: bytes) -> None:
    run = deflating(frame(payload, TEXT))
    assert run.messages == ["Hello"]
    assert run.receiver.received_size == 5


def test_a_message_may_look_back_into_the_one_before() -> None:
    run = deflating(frame(HELLO, TEXT) + frame(HELLO_AGAIN, TEXT))
    assert run.messages == ["Hello", "Hello"]


def test_without_takeover_a_message_must_not_look_back() -> None:
    run = deflating(
        frame(HELLO, TEXT),
        frame(HELLO_AGAIN, TEXT),
        agreed=DeflateParameters(peer_takeover=False),
    )
    assert run.messages == ["Hello"]
    assert run.broke() == 1007


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("empty", [b"\x00", b"\x02\x00", b"", b"\x03\x00"])
def test_an_empty_message_inflates_to_an_empty_one(
    empty: bytes, takeover: bool
) -> None:
    # Section 7.2.3.6; no octets at all, or a final block alone, are nobody's harm.
    run = deflating(
        frame(empty, TEXT) + frame(HELLO, TEXT),
        agreed=DeflateParameters(peer_takeover=takeover),
    )
    assert run.messages == ["", "Hello"]


def test_a_final_block_does_not_deafen_the_inflater() -> None:
    data = frame(HELLO_FINAL, TEXT) * 2 + frame(HELLO, TEXT)
    data += frame(final(b"a" * 5000)) + frame(squeezed(b"b" * 5000))
    for chunk in (len(data), 1):
        run = deflating(*in_pieces(data, chunk))
        assert run.messages == ["Hello"] * 3 + [b"a" * 5000, b"b" * 5000]


def test_several_final_blocks_make_one_message() -> None:
    payload = b"".join(final(b"%d," % number)[:-1] for number in range(3000))
    run = deflating(frame(payload + b"\x00", TEXT))
    assert run.messages == ["".join(f"{number}," for number in range(3000))]


def test_a_final_block_may_end_a_frame_that_an_empty_one_follows() -> None:
    data = frame(final(b"abc")[:-1], fin=False) + rest(b"") + frame(HELLO)
    assert deflating(data).messages == [b"abc", b"Hello"]


# Frames and chunks


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_fragments_inflate_around_control_frames(chunk: int) -> None:
    text = "grün " * 300
    payload = squeezed(text.encode())
    cut = len(payload) // 2
    data = (
        frame(payload[:cut], TEXT, fin=False)
        + server_frame(PING, b"1")
        + rest(payload[cut:-1], fin=False)
        + server_frame(PONG, b"2")
        + rest(b"", fin=False)
        + rest(payload[-1:])
        + server_frame(TEXT, b"plain")
        + server_frame(TEXT, b"pl", fin=False)
        + rest(b"ain")
    )
    run = deflating(*in_pieces(data, chunk))
    assert run.messages == [text, "plain", "plain"]
    assert run.receiver.pings == [b"1"]
    assert run.receiver.pongs == [b"2"]
    assert run.receiver.received_size == len(text.encode()) + 10


def test_plain_and_compressed_messages_take_turns() -> None:
    run = deflating(server_frame(TEXT, b"1") + frame(HELLO) + server_frame(TEXT, b"2"))
    assert run.messages == ["1", b"Hello", "2"]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(HELLO, TEXT, fin=False) + server_frame(CONTINUATION, b"", rsv=RSV1),
        server_frame(TEXT, b"a", fin=False) + server_frame(CONTINUATION, b"", rsv=RSV1),
        server_frame(PING, b"", rsv=RSV1),
        server_frame(PONG, b"", rsv=RSV1),
        server_frame(CLOSE, b"", rsv=RSV1),
        server_frame(TEXT, HELLO, rsv=RSV1 | 2),
        server_frame(TEXT, HELLO, rsv=RSV1 | 1),
        server_frame(TEXT, b"a", rsv=2),
    ],
)
def test_a_reserved_bit_out_of_place_breaks_the_protocol(wrong: bytes) -> None:
    run = deflating(wrong)
    assert run.receiver.violation == Violation(
        code=1002, text="the server sent a reserved bit that no extension claims"
    )
    assert run.messages == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (b"\xc1\x7e" + len(HELLO).to_bytes(2) + HELLO, "shortest form"),
        (b"\xc1\x7f" + len(HELLO).to_bytes(8) + HELLO, "shortest form"),
        (b"\xc1" + bytes([0x80 | len(HELLO)]) + b"mask" + HELLO, "masked"),
        (b"\xc3" + bytes([len(HELLO)]) + HELLO, "reserved"),
    ],
)
def test_a_header_is_judged_as_that_of_a_plain_message_is(
    wrong: bytes, text: str
) -> None:
    run = deflating(wrong)
    assert run.receiver.violation is not None
    assert run.receiver.violation.code == 1002
    assert text in run.receiver.violation.text
    assert run.messages == []


def test_compressed_data_that_nobody_agreed_on_breaks_the_protocol() -> None:
    engine = Engine()
    messages: list[str | bytes] = []
    engine.receiver.receive(memoryview(frame(HELLO)), messages.append, ROOM)
    assert engine.receiver.violation is not None
    assert engine.receiver.violation.code == 1002
    assert messages == []


# What is wrong


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x07", b"\x00\x01\x00\x00\x00abc"])
@pytest.mark.parametrize("takeover", [True, False])
def test_what_is_no_deflate_data_is_refused(garbage: bytes, takeover: bool) -> None:
    run = deflating(
        frame(garbage), frame(HELLO), agreed=DeflateParameters(peer_takeover=takeover)
    )
    assert run.receiver.violation == Violation(
        code=1007, text="the server sent a compressed message that cannot be inflated"
    )
    assert run.messages == []


def test_a_look_beyond_the_agreed_window_is_refused() -> None:
    noise = os.urandom(1 << 12)
    data = frame(squeezed(noise)) + frame(squeezed(noise, history=noise))
    assert deflating(data, agreed=DeflateParameters(peer_bits=13)).messages == [
        noise,
        noise,
    ]
    run = deflating(data, agreed=DeflateParameters(peer_bits=10))
    assert run.messages == [noise]
    assert run.broke() == 1007


def test_a_server_that_promised_8_bits_may_use_9_as_zlib_does() -> None:
    noise = os.urandom(240)
    data = (noise + bytes(150)) * 2
    run = deflating(
        frame(squeezed(data, bits=9)), agreed=DeflateParameters(peer_bits=8)
    )
    assert run.messages == [data]


@pytest.mark.parametrize(
    "text", [b"\xff", b"gr\xc3", b"\xed\xa0\x80", b"a" * 100_000 + b"\x80"]
)
def test_inflated_text_that_is_not_utf_8_is_refused(text: bytes) -> None:
    run = deflating(frame(squeezed(text), TEXT))
    assert run.broke() == 1007
    assert run.messages == []
    assert deflating(frame(squeezed(text))).messages == [text]


def test_inflated_text_is_refused_before_the_message_ends() -> None:
    stream = zlib.compressobj(wbits=-15)
    part = stream.compress(b"a\xffb") + stream.flush(zlib.Z_SYNC_FLUSH)
    run = deflating(frame(part, TEXT, fin=False))
    assert run.broke() == 1007


def test_a_character_may_be_cut_by_every_bound_there_is() -> None:
    text = "a" + "ü" * 200_000
    for chunk in (7, 4096, 1 << 20):
        data = frame(squeezed(text.encode()), TEXT)
        assert deflating(*in_pieces(data, chunk)).messages == [text]


# The limit


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_on_what_comes_out(opcode: int) -> None:
    limit = 100_000
    run = deflating(frame(squeezed(b"a" * limit), opcode), limit=limit)
    assert [len(message) for message in run.messages] == [limit]
    run = deflating(frame(squeezed(b"a" * (limit + 1)), opcode), limit=limit)
    assert run.broke() == 1009
    assert run.messages == []


def test_a_message_that_grew_by_compression_is_measured_by_what_comes_out() -> None:
    data = os.urandom(1000)
    payload = squeezed(data, level=0)
    assert len(payload) > 1000
    assert deflating(frame(payload), limit=1000).messages == [data]
    fragments = frame(payload[:10], fin=False) + rest(payload[10:])
    assert deflating(fragments, limit=1000).messages == [data]


def test_the_limit_holds_over_fragments() -> None:
    payload = squeezed(b"a" * 1001)
    run = deflating(frame(payload[:-3], fin=False), rest(payload[-3:]), limit=1000)
    assert run.broke() == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_bomb_costs_no_more_memory_than_the_limit(opcode: int) -> None:
    limit = 4 * MIB
    bomb = frame(squeezed(bytes(512 * MIB)), opcode)
    assert len(bomb) < MIB
    chunks = list(in_pieces(bomb, 256 * KIB))
    tracemalloc.start()
    try:
        run = deflating(*chunks, limit=limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.broke() == 1009
    assert run.messages == []
    # The bytes so far, and at most once more while they are moved to grow.
    assert peak < 2.5 * limit


def test_no_limit_is_no_limit() -> None:
    data = bytes(8 * MIB)
    assert deflating(frame(squeezed(data)), limit=None).messages == [data]


def test_final_blocks_without_end_take_linear_time() -> None:
    # A quadratic cost would show as minutes.
    payload = b"\x03\x00" * 120_000
    assert deflating(frame(payload)).messages == [b""]


# Space


def test_receiving_stops_before_a_compressed_message_without_space() -> None:
    run = deflating()
    size, left = 1000, 2500
    run.space = lambda: left
    data = frame(squeezed(bytes(size))) * 5 + server_frame(TEXT, b"plain")
    assert run.receive(data) == 3
    assert run.is_stalled()
    assert run.receiver.received_size == 3000
    left = 0
    assert run.receive(b"") == 0
    assert run.is_stalled()
    left = 1
    assert run.receive(server_frame(TEXT, b"next")) == 1
    assert run.is_stalled()
    left = 10_000
    assert run.receive(b"") == 3
    assert not run.is_stalled()
    assert run.messages[4:] == [bytes(size), "plain", "next"]


def test_plain_messages_need_no_space_but_use_it_up() -> None:
    run = deflating()
    run.space = lambda: 10
    data = server_frame(BINARY, bytes(8)) * 3 + frame(HELLO) + server_frame(TEXT, b"")
    assert run.receive(data) == 3
    assert run.is_stalled()


def test_what_was_begun_goes_on_without_space() -> None:
    run = deflating()
    payload = squeezed(bytes(1000))
    run.receive(frame(payload[:5], fin=False))
    run.space = lambda: 0
    assert run.receive(rest(payload[5:]) + frame(HELLO)) == 1
    assert run.messages == [bytes(1000)]
    assert run.is_stalled()


def test_a_chunk_of_bombs_takes_no_more_memory_than_there_is_space() -> None:
    limit, space = 4 * MIB, 8 * MIB
    one = frame(squeezed(bytes(limit)))
    chunk = one * (256 * KIB // len(one))
    assert chunk.count(one) > 50
    tracemalloc.start()
    try:
        run = deflating(limit=limit)
        run.space = lambda: space - run.receiver.received_size
        assert run.receive(chunk) <= 1
        run.finish_turns()
        assert len(run.messages) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.is_stalled()
    assert peak < space + 2.5 * limit


# The inflater by itself


def test_inflated_bytes_come_in_pieces_of_bounded_size() -> None:
    inflater = Inflater(bits=15, takeover=True)
    data, sizes = memoryview(squeezed(bytes(10 * MIB))), list[int]()
    while data or inflater.has_more:
        made, taken = inflater.inflate_piece(data, sys.maxsize)
        data = data[taken:]
        sizes.append(len(made))
    assert sum(sizes) == 10 * MIB
    assert max(sizes) <= 256 * KIB


def test_what_cannot_be_inflated_says_so() -> None:
    wrong = memoryview(b"\xff" * 9)
    with pytest.raises(BadDeflate):
        Inflater(bits=15, takeover=True).inflate_piece(wrong, 1)
    with pytest.raises(BadDeflate):
        Inflater(bits=15, takeover=True).inflate_message(wrong)


# Any payload

SOME_BYTES = st.integers(1, 5000)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=6), st.integers(8, 15), SOME_BYTES)
def test_what_zlib_compresses_by_any_means_inflates(
    messages: list[bytes], bits: int, chunk: int
) -> None:
    run = deflating(agreed=DeflateParameters(peer_bits=bits, peer_takeover=False))
    for number, data in enumerate(messages):
        payload = squeezed(data, bits=max(bits, 9), level=number % 10)
        for piece in in_pieces(frame(payload), chunk):
            run.receive(piece)
    assert run.messages == messages


@settings(deadline=None)
@given(st.binary(max_size=200), SOME_BYTES)
def test_no_payload_makes_receive_raise(payload: bytes, chunk: int) -> None:
    run = deflating(
        *in_pieces(frame(payload, TEXT) + frame(payload), chunk), limit=1000
    )
    assert run.broke() in (None, 1007, 1009)
