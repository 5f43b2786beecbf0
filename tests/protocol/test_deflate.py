"""Compression: what is agreed on, and what we compress."""

from __future__ import annotations

import os
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from resilient_ws.protocol import deflate, inflate
from resilient_ws.protocol.deflate import (
    MIN_SIZE,
    DeflateParameters,
    Deflater,
    Offer,
)
from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.frames import KeyPool
from resilient_ws.protocol.handshake import HandshakeFailure
from resilient_ws.protocol.inflate import Inflater
from resilient_ws.protocol.zlibs import PYTHONS
from tests.protocol import server_frame, unmask
from tests.protocol.compressed import (
    HELLO,
    KIB,
    TAIL,
    deflating,
    frame,
    in_pieces,
)


#: Each of them on each zlib.
pytestmark = pytest.mark.usefixtures("each_zlib")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
CLIENT_BITS, SERVER_BITS = "client_max_window_bits", "server_max_window_bits"
CLIENT_FRESH, SERVER_FRESH = "client_no_context_takeover", "server_no_context_takeover"


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


def test_many_messages_at_once_are_compressed_as_each_by_itself() -> None:
    items: list[str | bytes | memoryview] = ["grün" * 100, b"", bytes(300), "short"]
    items.append(memoryview(bytes(800))[::2])

    def engine() -> Engine:
        made = Engine(keys=KeyPool(bytes))
        made.enable_compression(DeflateParameters())
        return made

    one, many = engine(), engine()
    assert many.messages(items) == b"".join([one.message(item) for item in items])


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


# Memory at rest


def test_zlib_has_no_state_before_the_first_compressed_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    compress, decompress = PYTHONS.compressobj, PYTHONS.decompressobj

    def compressobj(*args: Any, **options: Any) -> Any:
        made.append("deflate")
        return compress(*args, **options)

    def decompressobj(*args: Any, **options: Any) -> Any:
        made.append("inflate")
        return decompress(*args, **options)

    hello = frame(HELLO)
    noting = attrs.evolve(PYTHONS, compressobj=compressobj, decompressobj=decompressobj)
    monkeypatch.setattr(deflate, "ZLIB", noting)
    monkeypatch.setattr(inflate, "ZLIB", noting)
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
    assert inflater.inflate_message(memoryview(payload)) == (b"a" * 1000, None)
    assert not inflater.has_stream
    assert deflater._stream is None


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
    assert run.receiver.violation is None
    assert run.messages == messages
