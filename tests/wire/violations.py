"""Every way for a server to be wrong that we know, and what its client's user sees.

``test_violations`` has a server do each of them. The same rows are the table of
docs/violations.md, which ``python -m tests.wire.violations docs/violations.md`` writes.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from resilient_ws import (
    AttemptFailed,
    ConnectFailed,
    ConnectionDropped,
    ConnectionLost,
    Event,
    HandshakeRejected,
    OpenTimeout,
    ProtocolError,
    ResilientWSError,
)
from tests.protocol import server_frame as frame


if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.raw import Peer


CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9

#: The message limit of the client that all of this is done to.
LIMIT: Final = 999_999
FRAGMENTS: Final = LIMIT + 1
MEBIBYTE: Final = 1024 * 1024
#: Seconds that the client waits for an answer to its handshake.
OPEN_TIMEOUT: Final = 2.0

Script: TypeAlias = "Callable[[Peer], None]"


@attrs.frozen(kw_only=True)
class Wrong:
    """One thing that a server does wrong, and what comes of it.

    Attributes:
        does: Says it to a reader.
        script: Does it, after the 101 or in place of it.
        sent: The close code that the server receives, ``None`` for no close frame.
        event: What the session reports.
        error: What it reports as the reason.
        says: Words of that reason.
        how: ``ConnectionLost.how``.
        delivered: The messages that the user still receives.
    """

    does: str
    script: Script
    sent: int | None
    event: type[AttemptFailed | ConnectionDropped]
    error: type[ResilientWSError]
    says: str
    how: str | None
    delivered: tuple[str, ...] = ()


# --- after the handshake ---------------------------------------------------------


def sends(does: str, data: bytes, says: str, code: int = 1002) -> Wrong:
    """A server that sends these bytes as its first ones."""
    return Wrong(
        does=does,
        script=lambda peer: peer.sock.sendall(data),
        sent=code,
        event=ConnectionDropped,
        error=ProtocolError,
        says=says,
        how="protocol",
    )


def in_a_million_fragments(peer: Peer) -> None:
    """Send one message, a byte a frame."""
    peer.sock.sendall(frame(BINARY, b"a", fin=False))
    fragment = frame(CONTINUATION, b"a", fin=False)
    for _ in range(FRAGMENTS // 10_000):
        peer.sock.sendall(fragment * 10_000)


def beyond_the_close(peer: Peer) -> None:
    """Send a message behind a close frame."""
    goodbye = frame(CLOSE, (1001).to_bytes(2, "big") + b"bye")
    peer.sock.sendall(frame(TEXT, b"before") + goodbye + frame(TEXT, b"after"))


START: Final = frame(TEXT, b"a", fin=False)

FRAMES: Final = [
    sends("a masked frame", b"\x81\x81\x00\x00\x00\x00a", "a masked frame"),
    *(
        sends(
            f"RSV{4 - bit.bit_length()} without an extension",
            frame(TEXT, b"a", rsv=bit),
            "a reserved bit that no extension claims",
        )
        for bit in (4, 2, 1)
    ),
    *(
        sends(f"reserved opcode {opcode}", frame(opcode, b"a"), "a reserved opcode")
        for opcode in (3, 7, 11, 15)
    ),
    sends(
        "a continuation without a start",
        frame(CONTINUATION, b"a"),
        "a continuation of nothing",
    ),
    sends(
        "a new message inside a fragmented one",
        START + frame(BINARY, b"b"),
        "a message inside a fragmented one",
    ),
    sends(
        "a fragmented ping",
        frame(PING, b"a", fin=False),
        "a fragmented control frame",
    ),
    sends(
        "a fragmented close",
        frame(CLOSE, b"\x03\xe8", fin=False),
        "a fragmented control frame",
    ),
    sends(
        "a ping of 126 bytes",
        frame(PING, bytes(126)),
        "a control frame above 125 bytes",
    ),
    sends(
        "a length of 125 in 16 bits",
        b"\x82\x7e\x00\x7d" + bytes(125),
        "a length that is not in its shortest form",
    ),
    sends(
        "a length of 65535 in 64 bits",
        b"\x82\x7f" + (65535).to_bytes(8, "big"),
        "a length that is not in its shortest form",
    ),
    sends(
        "a length with its top bit set",
        b"\x82\x7f\x80" + bytes(7),
        "a length with its top bit set",
    ),
    sends("a close frame of one byte", frame(CLOSE, b"\x03"), "half a code"),
    *(
        sends(
            f"close code {code}",
            frame(CLOSE, code.to_bytes(2, "big")),
            f"the illegal close code {code}",
        )
        for code in (0, 999, 1005, 1006, 1015, 2999, 5000)
    ),
    sends(
        "a text message that is not UTF-8",
        frame(TEXT, b"\xed\xa0\x80"),
        "not UTF-8",
        1007,
    ),
    sends(
        "a text that ends within a character",
        START + frame(CONTINUATION, b"\xe2\x82"),
        "not UTF-8",
        1007,
    ),
    sends(
        "a text that is not UTF-8, its frame never finished",
        frame(TEXT, b"\xff" + bytes(100))[:10],
        "not UTF-8",
        1007,
    ),
    sends(
        "a close reason that is not UTF-8",
        frame(CLOSE, b"\x03\xe8\xff"),
        "a close reason that is not UTF-8",
        1007,
    ),
    sends(
        "a message above max_message_size, as soon as its header is there",
        b"\x82\x7f" + (1 << 62).to_bytes(8, "big"),
        "above our limit",
        1009,
    ),
    attrs.evolve(
        sends(
            "a message above max_message_size in a million fragments",
            b"",
            "above our limit",
            1009,
        ),
        script=in_a_million_fragments,
    ),
    attrs.evolve(
        sends(
            "a violation behind a good message",
            frame(TEXT, b"before") + frame(3),
            "a reserved opcode",
        ),
        delivered=("before",),
    ),
    Wrong(
        does="a message behind its close frame",
        script=beyond_the_close,
        sent=1001,
        event=ConnectionDropped,
        error=ConnectionLost,
        says="closed by the server with 1001",
        how="close",
        delivered=("before",),
    ),
]


# --- in place of the handshake -----------------------------------------------------

UPGRADE: Final = ("Upgrade", "websocket")
CONNECTION: Final = ("Connection", "Upgrade")


def answers(does: str, script: Script, says: str) -> Wrong:
    """A server that answers the handshake with a 101 that is none."""
    return Wrong(
        does=does,
        script=script,
        sent=None,
        event=AttemptFailed,
        error=ProtocolError,
        says=says,
        how="protocol",
    )


def switching(*headers: tuple[str, str], tail: bytes = b"") -> Script:
    """Answer 101 with these headers, and the accept key if its name is among them."""

    def script(peer: Peer) -> None:
        peer.respond([(name, value or peer.accept_key) for name, value in headers])
        peer.sock.sendall(tail)

    return script


ACCEPT: Final = ("Sec-WebSocket-Accept", "")
GOOD: Final = (UPGRADE, CONNECTION, ACCEPT)


def refuses(does: str, answer: bytes, says: str) -> Wrong:
    """A server that answers with something else than 101."""
    return Wrong(
        does=does,
        script=lambda peer: peer.sock.sendall(answer),
        sent=None,
        event=AttemptFailed,
        error=HandshakeRejected,
        says=says,
        how=None,
    )


def is_silent(does: str, script: Script, says: str) -> Wrong:
    """A server that gives no answer at all."""
    return Wrong(
        does=does,
        script=script,
        sent=None,
        event=AttemptFailed,
        error=ConnectFailed,
        says=says,
        how="dial",
    )


def a_header_of_a_megabyte(peer: Peer) -> None:
    peer.respond([*((name, value or peer.accept_key) for name, value in GOOD)], end=b"")
    peer.sock.sendall(b"X-Large: " + b"a" * MEBIBYTE + b"\r\n\r\n")


def endless_headers(peer: Peer) -> None:
    """Go on until the client has had enough."""
    peer.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        peer.sock.sendall(b"X-More: and more\r\n" * 1000)


def an_endless_header(peer: Peer) -> None:
    """The same, in one line."""
    peer.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ")
    while True:
        peer.sock.sendall(b"a" * 10_000)


HTML: Final = b"<!DOCTYPE html><title>Welcome to the hotel</title>" + b" " * 5000

HANDSHAKES: Final = [
    answers(
        "the accept key of another handshake",
        switching(
            UPGRADE,
            CONNECTION,
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ),
        "Sec-WebSocket-Accept header does not answer our key",
    ),
    answers(
        "no accept key",
        switching(UPGRADE, CONNECTION),
        "Sec-WebSocket-Accept header does not answer our key",
    ),
    answers(
        "another Upgrade",
        switching(("Upgrade", "h2c"), CONNECTION, ACCEPT),
        "the Upgrade header is 'h2c'",
    ),
    answers("no Upgrade", switching(CONNECTION, ACCEPT), "there is no Upgrade header"),
    answers(
        "another Connection",
        switching(UPGRADE, ("Connection", "keep-alive"), ACCEPT),
        "the Connection header is 'keep-alive'",
    ),
    answers("no Connection", switching(UPGRADE, ACCEPT), "the Connection header is ''"),
    answers(
        "an extension that was not offered",
        switching(*GOOD, ("Sec-WebSocket-Extensions", "x-webkit-deflate-frame")),
        "extension 'x-webkit-deflate-frame', which was not offered",
    ),
    answers(
        "a subprotocol that was not offered",
        switching(*GOOD, ("Sec-WebSocket-Protocol", "c")),
        "subprotocol 'c', which was not offered",
    ),
    answers(
        "two subprotocol headers",
        switching(
            *GOOD, ("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b")
        ),
        "2 Sec-WebSocket-Protocol headers",
    ),
    attrs.evolve(
        sends("a 101 with a body", b"", "the server sent"),
        script=switching(*GOOD, ("Content-Length", "5"), tail=b"hello"),
    ),
    refuses("200", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "answered 200 OK"),
    refuses(
        "an HTML page without an end",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + HTML,
        "a web page, not a WebSocket endpoint",
    ),
    is_silent(
        "garbage",
        lambda peer: peer.sock.sendall(bytes(range(256)) * 4),
        "something that is not HTTP",
    ),
    is_silent(
        "a WebSocket frame in place of an answer",
        lambda peer: peer.sock.sendall(frame(TEXT, b"hello")),
        "something that is not HTTP",
    ),
    is_silent(
        "the end of the connection",
        lambda peer: peer.sock.close(),
        "without answering the handshake",
    ),
    is_silent(
        "a header of a megabyte",
        a_header_of_a_megabyte,
        "more than 262,144 bytes of headers",
    ),
    is_silent("endless headers", endless_headers, "more than 1,000 headers"),
    is_silent(
        "an endless header", an_endless_header, "more than 262,144 bytes of headers"
    ),
    Wrong(
        does="nothing at all",
        script=lambda peer: peer.drain(),
        sent=None,
        event=AttemptFailed,
        error=OpenTimeout,
        says="timeouts.open",
        how=None,
    ),
]


# --- the page ----------------------------------------------------------------------


def name_of(kind: type[Event | Exception]) -> str:
    return f"`{kind.__name__}`"


def table(rows: list[Wrong]) -> str:
    """The rows in Markdown."""
    lines = [
        "| the server sends | close code sent | event | error, `how` | its words |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        error = name_of(row.error) + (f", `{row.how}`" if row.how else "")
        code = row.sent or "none"
        lines.append(
            f"| {row.does} | {code} | {name_of(row.event)} | {error} | … {row.says} … |"
        )
    return "\n".join(lines)


def page() -> str:
    """Tell it all."""
    return f"""# When the server is wrong

What a session does about each of these is a row of a table that the tests go through,
and this page is written from the same table. None of them raises into your code where
you did not call us: they are reported, judged by `classify` (see `Reconnect`), and the
messages that were whole before are delivered.

## After the handshake

The connection is failed with a close frame that says why (RFC 6455 section 7.1.7).

{table(FRAMES)}

## In the handshake

There is no WebSocket connection yet, so there is no close frame: the TCP connection
ends. A `101` with a body is one that ends too early to be noticed: the body is taken
for frames, as it must be. An answer that comes one byte at a time is no fault.

{table(HANDSHAKES)}
"""


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(page())
