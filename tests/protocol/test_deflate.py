"""Compressed messages: what is agreed on, what goes through, and what is refused."""

from __future__ import annotations

import os
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from resilient_ws.protocol.deflate import (
    MIN_SIZE,
    DeflateParameters,
    Deflater,
    Offer,
)
from resilient_ws.protocol.engine import Engine, Violation
from resilient_ws.protocol.handshake import HandshakeFailure
from resilient_ws.protocol.inflate import BadDeflate, Inflater
from tests.protocol import server_frame, unmask
from tests.protocol.owner import ROOM, Owner


if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
TAIL = b"\x00\x00\xff\xff"
KIB = 1024
MIB = 1024 * 1024

# RFC 7692 section 7.2.3: "Hello" in one block, in two, stored, and final.
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")
HELLO_TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700")

CLIENT_BITS, SERVER_BITS = "client_max_window_bits", "server_max_window_bits"
CLIENT_FRESH, SERVER_FRESH = "client_no_context_takeover", "server_no_context_takeover"


def squeezed(
    data: bytes, *, bits: int = 15, level: int = 9, history: bytes = b""
) -> bytes:
    """One message's payload, made by zlib alone, after another one with ``history``."""
    stream = zlib.compressobj(level, wbits=-bits)
    if history:
        before = stream.compress(history) + stream.flush(zlib.Z_SYNC_FLUSH)
        assert before == squeezed(history, bits=bits, level=level) + TAIL
    payload = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
    return payload.removesuffix(TAIL)


def final(data: bytes) -> bytes:
    """The same, with BFINAL set on its last block."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush() + b"\x00"


def frame(payload: bytes, opcode: int = BINARY, *, fin: bool = True) -> bytes:
    """A frame that claims to be the first one of a compressed message."""
    return server_frame(opcode, payload, fin=fin, rsv=RSV1)


def rest(payload: bytes, *, fin: bool = True) -> bytes:
    return server_frame(CONTINUATION, payload, fin=fin)


def deflating(
    *chunks: bytes, limit: int | None = MIB, agreed: DeflateParameters | None = None
) -> Owner:
    """Return the owner of an engine that compresses."""
    return Owner(*chunks, limit=limit, agreed=agreed or DeflateParameters())


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


# What is agreed on


def test_the_default_offer_is_our_window_of_12_bits_and_a_bare_parameter() -> None:
    assert Offer().parameters() == {CLIENT_BITS: None}
    assert Offer().accept({}).own_bits == 12


def test_every_parameter_can_be_offered() -> None:
    offer = Offer(own_bits=15, own_takeover=False, peer_bits=10, peer_takeover=False)
    assert offer.parameters() == {
        CLIENT_BITS: None,
        SERVER_BITS: "10",
        SERVER_FRESH: None,
        CLIENT_FRESH: None,
    }


@pytest.mark.parametrize(
    "wrong",
    [{"own_bits": 8}, {"own_bits": 16}, {"peer_bits": 7}, {"peer_bits": 16}],
)
def test_an_offer_that_zlib_cannot_keep_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be from"):
        Offer(**wrong)


def agreed(
    own_bits: int = 12,
    own: bool = True,
    peer_bits: int = 15,
    peer: bool = True,
    own_limit: int = 15,
) -> DeflateParameters:
    return DeflateParameters(
        own_bits=own_bits,
        own_limit=own_limit,
        own_takeover=own,
        peer_bits=peer_bits,
        peer_takeover=peer,
    )


NOTHING: dict[str, Any] = {}
NO_TAKEOVER: dict[str, Any] = {"own_takeover": False, "peer_takeover": False}


@pytest.mark.parametrize(
    ("offer", "answer", "expected"),
    [
        (NOTHING, {}, agreed()),
        # Ours is the smaller of what we like and what the server allows.
        *(
            (
                NOTHING,
                {CLIENT_BITS: str(bits)},
                agreed(own_bits=min(bits, 12), own_limit=bits),
            )
            for bits in range(9, 16)
        ),
        *(
            (
                {"own_bits": 15},
                {CLIENT_BITS: str(bits)},
                agreed(own_bits=bits, own_limit=bits),
            )
            for bits in range(9, 16)
        ),
        # The server may bind itself unasked (RFC 7692 sections 7.1.1.1 and 7.1.2.1).
        *(
            (NOTHING, {SERVER_BITS: str(bits)}, agreed(peer_bits=bits))
            for bits in range(8, 16)
        ),
        (NOTHING, {SERVER_FRESH: None}, agreed(peer=False)),
        # And us as well (section 7.1.1.2).
        (NOTHING, {CLIENT_FRESH: None}, agreed(own=False)),
        # What we said of ourselves holds, whether the server repeats it or not.
        ({"own_takeover": False}, {}, agreed(own=False)),
        ({"own_takeover": False}, {CLIENT_FRESH: None}, agreed(own=False)),
        ({"peer_takeover": False}, {SERVER_FRESH: None}, agreed(peer=False)),
        ({"peer_bits": 11}, {SERVER_BITS: "11"}, agreed(peer_bits=11)),
        ({"peer_bits": 11}, {SERVER_BITS: "8"}, agreed(peer_bits=8)),
        (
            {**NO_TAKEOVER, "own_bits": 15, "peer_bits": 15},
            {
                SERVER_FRESH: None,
                CLIENT_FRESH: None,
                SERVER_BITS: "9",
                CLIENT_BITS: "10",
            },
            agreed(own_bits=10, own=False, peer_bits=9, peer=False, own_limit=10),
        ),
    ],
)
def test_an_answer_that_fits_is_accepted(
    offer: dict[str, Any], answer: dict[str, str | None], expected: DeflateParameters
) -> None:
    assert Offer(**offer).accept(answer) == expected


BAD_BITS = (None, "", "0", "7", "16", "99", "100", "08", "012", "+9", "-9", "9.0", "x")


@pytest.mark.parametrize(
    ("offer", "answer", "text"),
    [
        *((NOTHING, {CLIENT_BITS: value}, CLIENT_BITS) for value in BAD_BITS),
        *((NOTHING, {SERVER_BITS: value}, SERVER_BITS) for value in BAD_BITS),
        (NOTHING, {SERVER_BITS: "١٢"}, SERVER_BITS),
        # zlib cannot.
        (NOTHING, {CLIENT_BITS: "8"}, "zlib does not support"),
        (NOTHING, {CLIENT_FRESH: "1"}, "must not have a value"),
        (NOTHING, {SERVER_FRESH: "true"}, "must not have a value"),
        (NOTHING, {"x": None}, "unknown parameter 'x'"),
        (NOTHING, {CLIENT_BITS.upper(): "12"}, "unknown parameter"),
        # What was asked of the server, and not granted.
        ({"peer_takeover": False}, {}, "server_no_context_takeover is missing"),
        ({"peer_bits": 11}, {}, "server_max_window_bits is missing"),
        ({"peer_bits": 11}, {SERVER_BITS: "12"}, "12; 11 was asked for"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(
    offer: dict[str, Any], answer: dict[str, str | None], text: str
) -> None:
    with pytest.raises(HandshakeFailure, match=text) as caught:
        Offer(**offer).accept(answer)
    assert caught.value.code == 1002
    assert "permessage-deflate" in caught.value.text


# Compressing


def test_small_messages_stay_plain_and_larger_ones_do_not() -> None:
    engine = deflating().engine
    for size, expected in ((MIN_SIZE - 1, 0x81), (MIN_SIZE, 0xC1), (70_000, 0xC1)):
        first, payload, _ = unmask(engine.message("a" * size))
        assert first == expected
        assert (len(payload) == size) == (size < MIN_SIZE)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_binary_messages_are_compressed_whatever_holds_them(kind: Any) -> None:
    data = bytes(range(256)) * 4
    message = deflating().engine.message(kind(data))
    first, payload, end = unmask(message)
    assert (first, end) == (0xC2, len(message))
    assert zlib.decompressobj(wbits=-15).decompress(payload + TAIL) == data


def test_the_size_of_a_view_is_that_of_its_bytes() -> None:
    view = memoryview(bytes(MIN_SIZE)).cast("Q")
    assert len(view) < MIN_SIZE
    assert unmask(deflating().engine.message(view))[0] == 0xC2


def test_an_engine_that_agreed_on_nothing_compresses_nothing() -> None:
    data = "a" * 1000
    first, payload, _ = unmask(Engine().message(data))
    assert (first, payload) == (0x81, data.encode())


def test_nothing_is_compressed_after_our_close_frame() -> None:
    engine = deflating().engine
    engine.close()
    assert engine.message("a" * 1000) == b""


def test_control_frames_are_never_compressed() -> None:
    engine = deflating().engine
    for made in (engine.ping(b"p" * 125), engine.pong(b"p" * 125), engine.close()):
        assert unmask(made)[0] & 0x70 == 0


@pytest.mark.parametrize("bits", range(9, 16))
def test_our_window_is_as_large_as_agreed(bits: int) -> None:
    noise = os.urandom(1 << bits)
    # zlib looks back a little less far than its window reaches.
    reach = (1 << bits) - 262
    for data, shrinks in ((noise[:reach] * 2, True), (noise + noise[:256], False)):
        made = Deflater(bits=bits, limit=bits, takeover=True).deflate(data)
        # A peer with just that window must be able to follow.
        peer = zlib.decompressobj(wbits=-bits)
        assert peer.decompress(made + TAIL) == data
        assert (len(made) < len(data)) == shrinks


@pytest.mark.parametrize(("limit", "sees"), [(15, True), (13, False)])
def test_the_first_large_message_gets_the_largest_window(
    limit: int, sees: bool
) -> None:
    deflater = Deflater(bits=12, limit=limit, takeover=True)
    peer = zlib.decompressobj(wbits=-limit)
    noise = os.urandom(10 * KIB)
    # What the last one repeats is 10 KiB away: a window of 13 bits does not reach it.
    sizes = []
    for data in (noise[:1000], noise, noise[:1000]):
        made = deflater.deflate(data)
        assert peer.decompress(made + TAIL) == data
        sizes.append(len(made))
    assert (sizes[-1] < 100) == sees


def test_takeover_makes_a_repeated_message_small_and_its_absence_does_not() -> None:
    data = os.urandom(600)
    sizes: dict[bool, list[int]] = {}
    for takeover in (True, False):
        deflater = Deflater(bits=12, limit=15, takeover=takeover)
        sizes[takeover] = [len(deflater.deflate(data)) for _ in range(2)]
    assert sizes[True][1] < 30
    assert sizes[False][0] == sizes[False][1] > 600


# The examples of the RFC


@pytest.mark.parametrize(
    "payload", [HELLO, HELLO_STORED, HELLO_FINAL, HELLO_TWO_BLOCKS]
)
def test_the_examples_of_the_rfc_inflate(payload: bytes) -> None:
    run = deflating(frame(payload, TEXT))
    assert run.messages == ["Hello"]
    assert run.engine.received_size == 5


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
    assert run.engine.pings == [b"1"]
    assert run.engine.pongs == [b"2"]
    assert run.engine.received_size == len(text.encode()) + 10


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
    assert run.engine.violation == Violation(
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
    assert run.engine.violation is not None
    assert run.engine.violation.code == 1002
    assert text in run.engine.violation.text
    assert run.messages == []


def test_compressed_data_that_nobody_agreed_on_breaks_the_protocol() -> None:
    engine = Engine()
    messages: list[str | bytes] = []
    engine.receive(frame(HELLO), messages.append, ROOM)
    assert engine.violation is not None
    assert engine.violation.code == 1002
    assert messages == []


# What is wrong


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x07", b"\x00\x01\x00\x00\x00abc"])
@pytest.mark.parametrize("takeover", [True, False])
def test_what_is_no_deflate_data_is_refused(garbage: bytes, takeover: bool) -> None:
    run = deflating(
        frame(garbage), frame(HELLO), agreed=DeflateParameters(peer_takeover=takeover)
    )
    assert run.engine.violation == Violation(
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
    run.engine.space = lambda: left
    data = frame(squeezed(bytes(size))) * 5 + server_frame(TEXT, b"plain")
    assert run.receive(data) == 3
    assert run.is_stalled()
    assert run.engine.received_size == 3000
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
    run.engine.space = lambda: 10
    data = server_frame(BINARY, bytes(8)) * 3 + frame(HELLO) + server_frame(TEXT, b"")
    assert run.receive(data) == 3
    assert run.is_stalled()


def test_what_was_begun_goes_on_without_space() -> None:
    run = deflating()
    payload = squeezed(bytes(1000))
    run.receive(frame(payload[:5], fin=False))
    run.engine.space = lambda: 0
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
        run.engine.space = lambda: space - run.engine.received_size
        assert run.receive(chunk) == 1
        while run.receive(b""):
            pass
        run.finish_turns()
        assert len(run.messages) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.is_stalled()
    assert peak < space + 2.5 * limit


# Memory at rest


def test_zlib_has_no_state_before_the_first_compressed_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    compress, decompress = zlib.compressobj, zlib.decompressobj

    def compressobj(*args: Any, **options: Any) -> Any:
        made.append("deflate")
        return compress(*args, **options)

    def decompressobj(*args: Any, **options: Any) -> Any:
        made.append("inflate")
        return decompress(*args, **options)

    hello = frame(HELLO)
    monkeypatch.setattr(zlib, "compressobj", compressobj)
    monkeypatch.setattr(zlib, "decompressobj", decompressobj)
    run = deflating(server_frame(TEXT, b"a" * 1000), server_frame(PING, b""))
    run.engine.message("a" * (MIN_SIZE - 1))
    assert made == []
    run.receive(hello)
    assert made == ["inflate"]
    run.engine.message("a" * MIN_SIZE)
    run.engine.message("a" * MIN_SIZE)
    run.receive(hello)
    assert made == ["inflate", "deflate"]


def test_without_takeover_nothing_of_zlib_is_kept() -> None:
    inflater = Inflater(bits=15, takeover=False)
    deflater = Deflater(bits=15, limit=15, takeover=False)
    payload = deflater.deflate(b"a" * 1000)
    assert inflater.whole(memoryview(payload)) == (b"a" * 1000, None)
    assert inflater.closed
    assert deflater._stream is None


def test_inflated_bytes_come_in_pieces_of_bounded_size() -> None:
    inflater = Inflater(bits=15, takeover=True)
    data, sizes = memoryview(squeezed(bytes(10 * MIB))), list[int]()
    while data or inflater.full:
        made, taken = inflater.feed(data, sys.maxsize)
        data = data[taken:]
        sizes.append(len(made))
    assert sum(sizes) == 10 * MIB
    assert max(sizes) <= 256 * KIB


def test_what_cannot_be_inflated_says_so() -> None:
    wrong = memoryview(b"\xff" * 9)
    with pytest.raises(BadDeflate):
        Inflater(bits=15, takeover=True).feed(wrong, 1)
    with pytest.raises(BadDeflate):
        Inflater(bits=15, takeover=True).whole(wrong)


# Round trips

MESSAGES = st.lists(
    st.one_of(
        st.text(max_size=400),
        st.binary(max_size=400),
        st.builds(lambda word, count: word * count, st.text(), st.integers(0, 3000)),
        st.builds(lambda word, count: word * count, st.binary(), st.integers(0, 3000)),
    ),
    max_size=8,
)
SOME_BYTES = st.integers(1, 5000)
WINDOWS = st.tuples(st.integers(9, 15), st.integers(9, 15)).map(sorted)
AGREED = st.builds(
    lambda windows, **others: DeflateParameters(
        own_bits=windows[0], own_limit=windows[1], **others
    ),
    WINDOWS,
    own_takeover=st.booleans(),
    peer_bits=st.integers(9, 15),
    peer_takeover=st.booleans(),
)


def other_end(agreed: DeflateParameters) -> PerMessageDeflate:
    """The server's side of it, of the websockets library."""
    return PerMessageDeflate(
        remote_no_context_takeover=not agreed.own_takeover,
        local_no_context_takeover=not agreed.peer_takeover,
        remote_max_window_bits=agreed.own_limit,
        local_max_window_bits=agreed.peer_bits,
    )


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


@settings(deadline=None)
@given(MESSAGES, AGREED)
def test_what_we_compress_is_understood_by_websockets(
    messages: list[str | bytes], agreed: DeflateParameters
) -> None:
    engine = deflating(agreed=agreed).engine
    end = other_end(agreed)
    for message in messages:
        first, payload, _ = unmask(engine.message(message))
        rsv1 = bool(first & 0x40)
        got = end.decode(Frame(Opcode(first & 15), payload, rsv1=rsv1))
        assert bytes(got.data) == as_bytes(message)
        assert rsv1 == (len(as_bytes(message)) >= MIN_SIZE)


@settings(deadline=None)
@given(MESSAGES, AGREED, SOME_BYTES, SOME_BYTES)
def test_what_websockets_compresses_is_understood_by_us(
    messages: list[str | bytes], agreed: DeflateParameters, fragment: int, chunk: int
) -> None:
    end = other_end(agreed)
    stream = b""
    for message in messages:
        opcode = TEXT if isinstance(message, str) else BINARY
        parts = list(in_pieces(as_bytes(message), fragment)) or [b""]
        for number, part in enumerate(parts, 1):
            plain = Frame(Opcode(opcode), part, fin=number == len(parts))
            stream += plain.serialize(mask=False, extensions=[end])
            opcode = CONTINUATION
    run = deflating(*in_pieces(stream, chunk), agreed=agreed)
    assert run.engine.violation is None
    assert run.messages == messages


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
