"""What must hold for any bytes at all, and bytes to begin with.

Each target takes one input and raises when something does not hold. ``run`` has a
coverage-guided fuzzer call it; ``test_targets`` gives it the seeds.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.handshake import Handshake, HandshakeFailure, Negotiated
from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner
from tests.twins import compare
from tests.wire.violations import FRAMES


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.engine import Engine


#: The most bytes of one message.
LIMIT: Final = 1000
#: A chunk is at most so long.
CHUNK: Final = 64
SUBPROTOCOLS: Final = ("v2.chat", "chat")
EXTENSIONS: Final = {"permessage-deflate": {"client_max_window_bits": None}, "x": {}}
#: The nonce of RFC 6455 section 1.3, and what answers it.
NONCE: Final = b"the sample nonce"
ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# --- the engine ----------------------------------------------------------------------


def check_engine(data: bytes) -> None:
    """What holds for any stream; and plain messages are no longer than what came."""
    assert check_stream(data, None).receiver.received_size <= len(data[2:])


def check_deflate(data: bytes) -> None:
    """What holds for any stream, where messages may be compressed."""
    takeover = len(data) < 2 or data[1] < 128
    check_stream(data, DeflateParameters(peer_takeover=takeover))


def check_stream(data: bytes, agreed: DeflateParameters | None) -> Engine:
    """The chunks and the room change nothing; what comes out is within the bounds."""
    chunk, room = (data[0] % CHUNK + 1, data[1] % 4) if len(data) > 1 else (1, 0)
    stream = data[2:]
    whole, slow = (Owner(limit=LIMIT, agreed=agreed) for _ in range(2))
    whole.receive(stream)
    whole.finish(2)
    for start in range(0, len(stream), chunk):
        slow.receive(stream[start : start + chunk], room)
    slow.finish(2)
    assert whole.seen() == slow.seen()
    sizes = [
        len(message.encode() if isinstance(message, str) else message)
        for message in whole.messages
    ]
    engine = whole.engine
    assert max(sizes, default=0) <= LIMIT
    receiver = engine.receiver
    assert sum(sizes) == receiver.received_size
    assert all(len(payload) <= 125 for payload in (*receiver.pings, *receiver.pongs))
    check_answers(engine)
    return engine


def check_answers(engine: Engine) -> None:
    """Whatever came can be answered, and a goodbye is the last word."""
    receiver = engine.receiver
    for payload in receiver.pings:
        assert engine.pong(payload)
    if receiver.violation is not None:
        assert receiver.close_received is None
        assert engine.close(receiver.violation.code, receiver.violation.text)
    elif receiver.close_received is not None:
        assert engine.close_reply()
    else:
        return
    assert engine.record() is not None
    assert engine.message("late") == engine.ping() == engine.close() == b""


# --- the twins -----------------------------------------------------------------------


def check_twins(data: bytes) -> None:
    """Both take the same of any chunk, and make the same frames of what it has."""
    pos, room, limit, stale = (*data[:4], *bytes(4))[:4]
    limits, rest = (0, 1, 125, 126, LIMIT, 1 << 30), data[4:]
    walked = compare.compare_walks(
        compare.built(),
        compare.Chunk(
            rest,
            pos=pos % 4,
            room=room % 8,
            limit=limits[limit % len(limits)],
            stale=rest[: stale % 9],
            by_call=stale > 127,
        ),
    )
    compare.compare_frames(compare.built(), walked.messages)


# --- the handshake -------------------------------------------------------------------


def headers_of(data: bytes) -> tuple[int, list[tuple[str, str]]]:
    """Take an answer apart as an HTTP client would; ``KEY`` is the right accept key."""
    first, *lines = data.decode("latin-1").split("\r\n")
    status = first.split(" ")[1] if first.count(" ") else ""
    pairs = [line.partition(":")[::2] for line in lines]
    return (
        int(status) if status.isascii() and status.isdigit() and status < "999" else 0,
        [(name, value.replace("KEY", ACCEPT)) for name, value in pairs],
    )


def check_handshake(data: bytes) -> None:
    """An answer is refused in words, or is exactly what was asked for."""
    handshake = Handshake(
        subprotocols=SUBPROTOCOLS,
        offered=list(EXTENSIONS.items()),
        entropy=lambda _: NONCE,
    )
    status, headers = headers_of(data)
    try:
        agreed = handshake.check(status, headers)
    except HandshakeFailure as failure:
        refusal = failure
    else:
        check_agreed(agreed, status, headers)
        return
    assert refusal.code == 1002
    assert refusal.text


def check_agreed(
    agreed: Negotiated, status: int, headers: list[tuple[str, str]]
) -> None:
    """Nothing was agreed on that was not offered."""
    assert status == 101
    assert [v.strip(" \t") for k, v in headers if k.lower() == "upgrade"]
    assert any(value.strip(" \t") == ACCEPT for _, value in headers)
    assert agreed.subprotocol in (None, *SUBPROTOCOLS)
    assert set(agreed.extensions) <= set(EXTENSIONS)
    for parameters in agreed.extensions.values():
        for name, value in parameters.items():
            assert name.isascii()
            assert value is None or (value and value.isprintable())


# --- seeds ---------------------------------------------------------------------------


class Recorder:
    """Stands in for the peer of a row of the table, and keeps what it sends."""

    def __init__(self) -> None:
        self.sock = self
        self.data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data


def violations() -> list[bytes]:
    """What the wrong servers of the tests send, but for a million fragments."""
    sent = []
    for row in FRAMES:
        if "million" not in row.does:
            recorder = Recorder()
            row.script(recorder)  # type: ignore[arg-type]
            sent.append(recorder.data)
    return sent


def engine_seeds() -> list[bytes]:
    good = (
        frame(1, "grün".encode())
        + frame(2, bytes(126))
        + frame(1, b"a\xc3", fin=False)
        + frame(9, b"?")
        + frame(0, b"\xbc")
        + frame(10, b"!")
        + frame(8, b"\x03\xe8bye")
    )
    large = frame(2, bytes(LIMIT - 1), fin=False) + frame(0, b"a") + frame(2, b"")
    return [
        bytes([chunk, room]) + data
        for data in (good, large, *violations())
        for chunk, room in ((0, 1), (16, 2))
    ]


def twins_seeds() -> list[bytes]:
    return [
        bytes((0, 7, limit, 5 + by_call)) + seed[2:]
        for seed in engine_seeds()
        for limit, by_call in ((5, 0), (4, 128))
    ]


def deflate_seeds() -> list[bytes]:
    stream = zlib.compressobj(wbits=-15)
    made = [
        (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for data in ("grün".encode() * 40, "grün".encode() * 41, bytes(300))
    ]
    text, again, binary = made
    good = (
        frame(1, text, rsv=4)
        + frame(1, again[:3], fin=False, rsv=4)
        + frame(9, b"?")
        + frame(0, again[3:])
        + frame(2, binary, rsv=4)
        + frame(1, b"plain")
    )
    # Ended by a final block, and one with others behind it; a bomb; nothing at all.
    ended = zlib.compress(b"over", wbits=-15)
    rare = frame(2, ended, rsv=4) + frame(2, ended + text, rsv=4)
    bomb = frame(2, zlib.compress(bytes(100 * LIMIT), wbits=-15), rsv=4)
    return [
        bytes([chunk, room]) + data
        for data in (good, rare, bomb, frame(1, b"", rsv=4), frame(2, b"\x06", rsv=4))
        for chunk, room in ((0, 1), (16, 2), (16, 129))
    ]


def handshake_seeds() -> list[bytes]:
    good = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: KEY"
    )
    more = (
        "",
        "\r\nSec-WebSocket-Protocol: chat",
        "\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: v2.chat",
        "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15",
        '\r\nSec-WebSocket-Extensions: x; a="b\\c", , permessage-deflate; d',
        "\r\nSec-WebSocket-Extensions: permessage-deflate; a; a=1, x, x",
        '\r\nSec-WebSocket-Extensions: x; a="',
    )
    return [(good + extra).encode() for extra in more] + [b"HTTP/1.1 200 OK\r\nA: b"]


Target = tuple["Callable[[bytes], None]", "Callable[[], list[bytes]]"]

TARGETS: Final[dict[str, Target]] = {
    "engine": (check_engine, engine_seeds),
    "deflate": (check_deflate, deflate_seeds),
    "handshake": (check_handshake, handshake_seeds),
    "twins": (check_twins, twins_seeds),
}
