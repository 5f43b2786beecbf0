"""The same bytes, given to this engine and to two that others wrote.

Where the three differ on purpose, the frames are marked with who is not asked about
them; everything else has to be the same: messages, pings, pongs, and the end.
"""

from __future__ import annotations

import codecs
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import pytest
from hypothesis import example, given, settings, strategies as st
from websockets import exceptions as ws_errors, frames as ws_frames
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wsproto import connection as wsproto_connection, events as wsproto_events

from resilient_ws.protocol.engine import Engine
from tests.protocol import server_frame as frame
from tests.protocol.owner import ROOM, Owner


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
#: Where a length form, a piece of the mask or a usual read ends.
BORDERS = (0, 1, 125, 126, 127, 4096, 16384, 32768, 65535, 65536, 65537, 262144)
SIZES = sorted({max(0, size + step) for size in BORDERS for step in (-1, 0, 1)})


@attrs.define
class Outcome:
    """What came out of some bytes."""

    messages: list[str | bytes] = attrs.field(factory=list)
    pings: list[bytes] = attrs.field(factory=list)
    pongs: list[bytes] = attrs.field(factory=list)
    #: ``("close", code, reason)``, ``("violation", code)``, or ``None``.
    end: tuple[object, ...] | None = None


class Read(Protocol):
    """Some parser of some role."""

    def __call__(self, chunks: Iterable[bytes], /) -> Outcome: ...


# --- three clients, and two servers ------------------------------------------------


def read_ours(
    chunks: Iterable[bytes], *, limit: int | None = None, room: int = ROOM
) -> Outcome:
    owner = Owner(limit=limit)
    for chunk in chunks:
        owner.receive(chunk, room)
    owner.finish(room)
    receiver = owner.receiver
    outcome = Outcome(owner.messages, receiver.pings, receiver.pongs)
    if receiver.violation is not None:
        outcome.end = ("violation", receiver.violation.code)
    elif receiver.close_received is not None:
        close = receiver.close_received
        outcome.end = ("close", close.code, close.reason)
    return outcome


class Assembler:
    """Makes messages of frames, as a user of websockets' lower layer has to."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._pieces: list[Any] = []
        self._decode: Callable[[bytes, bool], str] | None = None

    def take(self, found: ws_frames.Frame) -> None:
        data = bytes(found.data)
        if found.opcode is ws_frames.Opcode.PING:
            self.outcome.pings.append(data)
        elif found.opcode is ws_frames.Opcode.PONG:
            self.outcome.pongs.append(data)
        elif found.opcode is not ws_frames.Opcode.CLOSE:
            self._collect(found, data)

    def _collect(self, found: ws_frames.Frame, data: bytes) -> None:
        if found.opcode is ws_frames.Opcode.TEXT:
            self._decode = codecs.getincrementaldecoder("utf-8")().decode
        elif found.opcode is ws_frames.Opcode.BINARY:
            self._decode = None
        piece = data if self._decode is None else self._decode(data, found.fin)
        self._pieces.append(piece)
        if found.fin:
            self.outcome.messages.append(type(piece)().join(self._pieces))
            self._pieces.clear()


def read_websockets(
    chunks: Iterable[bytes], *, limit: int | None = None, server: bool = False
) -> Outcome:
    options: dict[str, Any] = {"state": State.OPEN, "max_size": limit}
    link = (
        ServerProtocol(**options)
        if server
        else ClientProtocol(parse_uri("ws://127.0.0.1/"), **options)
    )
    for chunk in chunks:
        link.receive_data(chunk)
    assembler = Assembler()
    outcome = assembler.outcome
    for event in link.events_received():
        assert isinstance(event, ws_frames.Frame)
        try:
            assembler.take(event)
        except UnicodeDecodeError:
            outcome.end = ("violation", 1007)
            return outcome
    failure = link.parser_exc
    codes = {
        ws_errors.ProtocolError: 1002,
        UnicodeDecodeError: 1007,
        ws_errors.PayloadTooBig: 1009,
    }
    if failure is not None and type(failure) in codes:
        outcome.end = ("violation", codes[type(failure)])
    elif link.close_rcvd is not None:
        outcome.end = ("close", int(link.close_rcvd.code), link.close_rcvd.reason)
    return outcome


def read_wsproto(chunks: Iterable[bytes], *, server: bool = False) -> Outcome:
    role = wsproto_connection.ConnectionType
    link = wsproto_connection.Connection(role.SERVER if server else role.CLIENT)
    outcome, pieces = Outcome(), list[Any]()
    for chunk in chunks:
        link.receive_data(chunk)
        for event in link.events():
            if isinstance(event, wsproto_events.Message):
                pieces.append(event.data)
                if event.message_finished:
                    message = type(event.data)().join(pieces)
                    outcome.messages.append(
                        message if isinstance(message, str) else bytes(message)
                    )
                    pieces.clear()
            elif isinstance(event, wsproto_events.Ping):
                outcome.pings.append(bytes(event.payload))
            elif isinstance(event, wsproto_events.Pong):
                outcome.pongs.append(bytes(event.payload))
            else:
                assert isinstance(event, wsproto_events.CloseConnection)
                closing = wsproto_connection.ConnectionState.REMOTE_CLOSING
                outcome.end = (
                    ("close", int(event.code), event.reason or "")
                    if link.state is closing
                    else ("violation", int(event.code))
                )
                return outcome
    return outcome


# --- frames --------------------------------------------------------------------


@attrs.frozen
class Piece:
    """Some bytes of a server."""

    data: bytes
    #: Who is known to see them otherwise, and is not asked.
    not_asked: frozenset[str] = frozenset()


#: websockets takes any form of a length; it waits for 2**63 bytes to come.
_LAX_LENGTHS = frozenset({"websockets"})

payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=30).map(str.encode),
    st.builds(random.Random.randbytes, st.randoms(), st.sampled_from(SIZES[:12])),
)


@st.composite
def messages(draw: st.DrawFn) -> Piece:
    """A whole message, in fragments with control frames between them."""
    text = draw(st.booleans())
    body = draw(st.text(max_size=200)).encode() if text else draw(payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    parts = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
    data = b""
    for number, part in enumerate(parts):
        opcode = CONTINUATION if number else (TEXT if text else BINARY)
        data += frame(opcode, part, fin=number == len(parts) - 1)
        if number < len(parts) - 1 and draw(st.booleans()):
            data += draw(controls).data
    return Piece(data)


controls = st.builds(
    lambda opcode, payload: Piece(frame(opcode, payload)),
    st.sampled_from([PING, PONG]),
    st.binary(max_size=125),
)


def close_of(code: int, reason: bytes) -> Piece:
    """A close frame; wsproto passes codes that nobody has registered, but not 1014."""
    other = code in (1004, 1014, *range(1016, 3000)) or code >= 5000
    payload = code.to_bytes(2, "big") + reason
    return Piece(frame(CLOSE, payload), frozenset({"wsproto"} if other else ()))


closes = st.one_of(
    st.just(Piece(frame(CLOSE))),
    st.just(Piece(frame(CLOSE, b"\x03"))),
    # One fault at a time: which of two is named first is a matter of taste.
    st.just(close_of(1000, b"\xff")),
    st.builds(
        close_of,
        st.integers(1000, 1015) | st.integers(0, 65535),
        st.text(max_size=30).map(str.encode),
    ),
)

#: Any header, most of them wrong, before the payload that it announces.
oddities = st.builds(
    lambda opcode, payload, fin, rsv: Piece(frame(opcode, payload, fin=fin, rsv=rsv)),
    st.integers(0, 15).filter(lambda opcode: opcode != CLOSE),
    st.binary(max_size=10).filter(bytes.isascii) | st.just(bytes(126)),
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 2, 4, 7]),
)

wrong = st.sampled_from(
    [
        Piece(frame(TEXT, b"ok\xff")),
        Piece(frame(TEXT, b"\xed\xa0\x80")),
        Piece(b"\x81\x81\x00\x00\x00\x00a"),
        Piece(frame(CLOSE, bytes(126))),
        Piece(frame(CLOSE, b"\x03\xe8", fin=False)),
        Piece(b"\x82\x7e\x00\x7d" + bytes(125), _LAX_LENGTHS),
        Piece(b"\x82\x7f" + (65535).to_bytes(8, "big") + bytes(65535), _LAX_LENGTHS),
        Piece(b"\x82\x7f\x80" + bytes(7), _LAX_LENGTHS),
    ]
)

pieces = st.lists(messages() | controls | messages() | oddities | wrong | closes)


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places, taken modulo their number."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[a:b] for a, b in pairwise([0, *places, len(data)])]


splits = st.lists(st.integers(0, 1 << 20), max_size=12)


# --- received ------------------------------------------------------------------


def closes_within_a_message(sent: Sequence[Piece]) -> bool:
    """Whether a close frame comes between fragments, which websockets refuses."""
    data = b"".join(piece.data for piece in sent)
    receiver = Engine(max_message_size=None).receiver
    receiver.receive(memoryview(data), lambda _: None, ROOM)
    return receiver.close_received is not None and receiver._assembler.inside


@settings(max_examples=1000, deadline=None)
@given(sent=pieces, cuts=splits, room=st.integers(1, 3))
@example(sent=[Piece(frame(CLOSE))], cuts=[1], room=1)
def test_three_clients_make_the_same_of_a_server(
    sent: list[Piece], cuts: list[int], room: int
) -> None:
    data = b"".join(piece.data for piece in sent)
    chunks = split(data, cuts)
    ours = read_ours(chunks)
    assert read_ours(chunks, room=room) == ours
    not_asked = frozenset[str]().union(*(piece.not_asked for piece in sent))
    if "websockets" not in not_asked and not closes_within_a_message(sent):
        assert read_websockets(chunks) == ours
    if "wsproto" not in not_asked:
        assert read_wsproto(chunks) == ours


@settings(deadline=None)
@given(sent=st.lists(messages() | controls), cuts=splits, limit=st.integers(1, 150))
def test_two_clients_draw_the_same_limit(
    sent: list[Piece], cuts: list[int], limit: int
) -> None:
    chunks = split(b"".join(piece.data for piece in sent), cuts)
    ours, theirs = read_ours(chunks, limit=limit), read_websockets(chunks, limit=limit)
    # websockets counts control frames against what a message has left of its limit.
    if not any([*ours.pings, *ours.pongs]):
        assert theirs == ours


SERVER_ENCODERS: dict[str, Callable[[str | bytes], bytes]] = {
    "websockets": lambda message: ws_frames.Frame(
        ws_frames.Opcode.TEXT if isinstance(message, str) else ws_frames.Opcode.BINARY,
        message.encode() if isinstance(message, str) else message,
    ).serialize(mask=False),
    "wsproto": lambda message: wsproto_connection.Connection(
        wsproto_connection.ConnectionType.SERVER
    ).send(
        wsproto_events.TextMessage(data=message)
        if isinstance(message, str)
        else wsproto_events.BytesMessage(data=message)
    ),
}


def of_size(size: int) -> list[str | bytes]:
    """A message of either kind, no two bytes alike in a row."""
    source = random.Random(size)
    letters = source.choices("abcdefgh", k=size)
    # A two-byte character in the middle of every length but the shortest.
    if size > 2:
        letters[size // 2 : size // 2 + 2] = "é"
    return ["".join(letters), source.randbytes(size)]


@pytest.mark.parametrize("encode", SERVER_ENCODERS.values(), ids=SERVER_ENCODERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_their_servers_arrives(
    size: int, encode: Callable[[str | bytes], bytes]
) -> None:
    sent = of_size(size)
    data = b"".join(map(encode, sent))
    for chunk in (len(data), 65536, 4096, 1021):
        chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        assert read_ours(chunks) == Outcome(messages=sent)


# --- sent ------------------------------------------------------------------------

SERVERS: dict[str, Read] = {
    "websockets": lambda chunks: read_websockets(chunks, server=True),
    "wsproto": lambda chunks: read_wsproto(chunks, server=True),
}


@pytest.mark.parametrize("read", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_ours_arrives_at_their_servers(size: int, read: Read) -> None:
    sent = of_size(size)
    data = Engine().messages(sent)
    for chunk in (len(data), 65536, 4096, 1021):
        chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        assert read(chunks) == Outcome(messages=sent)


requests = st.lists(
    st.tuples(st.just("message"), st.text(max_size=200) | payloads)
    | st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
)
farewells = st.none() | st.tuples(
    st.sampled_from([1000, 1001, 1003, 1008, 1011, 3000, 4999]), st.text(max_size=30)
)


@settings(deadline=None)
@given(asked=requests, farewell=farewells, cuts=splits)
def test_two_servers_understand_what_we_send(
    asked: list[tuple[str, Any]], farewell: tuple[int, str] | None, cuts: list[int]
) -> None:
    engine = Engine()
    data = b"".join(getattr(engine, what)(payload) for what, payload in asked)
    meant = Outcome(
        messages=[payload for what, payload in asked if what == "message"],
        pings=[payload for what, payload in asked if what == "ping"],
        pongs=[payload for what, payload in asked if what == "pong"],
    )
    if farewell is not None:
        data += engine.close(*farewell)
        meant.end = ("close", *farewell)
        # Nothing leaves behind it.
        assert engine.message("late") + engine.ping() + engine.pong() == b""
    chunks = split(data, cuts)
    for read in SERVERS.values():
        assert read(chunks) == meant
