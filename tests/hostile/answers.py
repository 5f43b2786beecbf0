"""What a hostile server answers the handshake with: a table, and mutations of it.

The number of an answer and the seed decide all of it, so that the server of the fuzzing
and whoever reads its report know it by these two. ``KEY`` stands for the right answer
to the key of the request. Each is played within ``ENDLESS`` seconds.
"""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


#: Seconds that a server goes on with what has no end, and bytes that it sends at most.
ENDLESS: Final = 1.0
MOST: Final = 64 * 1024 * 1024

KEY: Final = b"{KEY}"
CRLF: Final = b"\r\n"
RIGHT: Final = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Accept: " + KEY,
)


@attrs.frozen(kw_only=True)
class Answer:
    """One answer.

    Attributes:
        name: What is odd about it.
        head: What is sent first.
        more: What is sent again and again after it, if anything.
        pause: Seconds between two of those.
        ends: What the server does then: ``"close"``, ``"reset"`` or ``"hold"``.
    """

    name: str
    head: bytes
    more: bytes = b""
    pause: float = 0.0
    ends: str = "close"


def answer(*lines: bytes, status: bytes = b"HTTP/1.1 101 Switching Protocols") -> bytes:
    """Return the head of an answer."""
    return b"".join(line + CRLF for line in (status, *lines)) + CRLF


def agreed(*lines: bytes, tail: bytes = b"") -> bytes:
    """Return a right 101 with more headers, and what comes behind it."""
    return answer(*RIGHT, *lines) + tail


def refused(
    *lines: bytes, status: bytes = b"403 Forbidden", body: bytes = b""
) -> bytes:
    """Return another status with these headers."""
    return answer(*lines, status=b"HTTP/1.1 " + status) + body


#: What other protocols say first.
GREETINGS: Final = {
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "SMTP": b"220 mail.example.com ESMTP Postfix\r\n",
    "FTP": b"220 (vsFTPd 3.0.5)\r\n",
    "IMAP": b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
    "POP3": b"+OK ready\r\n",
    "IRC": b":irc.example.com NOTICE * :*** Looking up your hostname\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" * 3,
    "HTTP/0.9": b"<html><body>hello</body></html>",
    "Shoutcast": b"ICY 200 OK\r\nicy-name: x\r\n\r\n",
    "RTSP": b"RTSP/1.0 101 Switching Protocols\r\n\r\n",
    "SIP": b"SIP/2.0 200 OK\r\n\r\n",
    "TLS": b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(120),
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "MySQL": b"\x4a\x00\x00\x00\x0a8.0.36\x00" + bytes(60),
    "PostgreSQL": b"E\x00\x00\x00\x20SFATAL\x00Munsupported\x00\x00",
    "Redis": b"-ERR unknown command 'GET'\r\n",
    "MQTT": b"\x20\x02\x00\x05",
    "AMQP": b"AMQP\x00\x00\x09\x01",
    "SOCKS 5": b"\x05\xff",
    "SOCKS 4": b"\x00\x5b" + bytes(6),
    "RDP": b"\x03\x00\x00\x13\x0e\xd0" + bytes(13),
    "telnet": b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23login: ",
    "a WebSocket frame": b"\x81\x05hello",
    "nothing": b"",
    "an empty line": b"\r\n",
    "NUL": bytes(100),
}

STATUS_LINES: Final = (
    b"HTTP/1.1 101",
    b"HTTP/1.1  101 Switching Protocols",
    b"HTTP/1.1 101 " + b"x" * 9000,
    b"HTTP/1.1 1O1 Switching Protocols",
    b"HTTP/1.1 0101 Switching Protocols",
    b"HTTP/1.1 -101 Switching Protocols",
    b"HTTP/1.1 101.0 Switching Protocols",
    b"HTTP/1.1 \xd9\xa1\xd9\xa0\xd9\xa1 Switching Protocols",
    b"HTTP/1.1 99999999999999999999 x",
    b"HTTP/1.1 000 x",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 199 x",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 600 x",
    b"HTTP/1.1 999 x",
    b"HTTP/1.0 101 Switching Protocols",
    b"HTTP/2.0 101 Switching Protocols",
    b"HTTP/9.9 101 Switching Protocols",
    b"HTTP/1.1.1 101 x",
    b"HTTP/ 101 x",
    b"http/1.1 101 Switching Protocols",
    b"HTTPS/1.1 101 x",
    b" HTTP/1.1 101 x",
    b"\xef\xbb\xbfHTTP/1.1 101 x",
    b"HTTP/1.1\t101\tSwitching",
    b"HTTP/1.1 101 \x1b[2Jx\x7f\xc2\x85",
    b"HTTP/1.1 101 \xff\xfe",
    b"HTTP/1.1 101 x\x00y",
    b"101 Switching Protocols",
)

HEADERS: Final = {
    "no Upgrade": (b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + KEY),
    "no Connection": (b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + KEY),
    "no accept": (b"Upgrade: websocket", b"Connection: Upgrade"),
    "no headers": (),
    "an upgrade to HTTP/2": (b"Upgrade: h2c", *RIGHT[1:]),
    "two upgrades": (b"Upgrade: websocket, h2c", *RIGHT[1:]),
    "two Upgrade headers": (*RIGHT, b"Upgrade: websocket"),
    "Connection: close": (RIGHT[0], b"Connection: close", RIGHT[2]),
    "many connections": (
        RIGHT[0],
        b"Connection: " + b"," * 4000 + b"upgrade",
        RIGHT[2],
    ),
    "another accept": (
        *RIGHT[:2],
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
    "the accept twice": (*RIGHT, RIGHT[2]),
    "accepts in a list": (*RIGHT[:2], RIGHT[2] + b", " + KEY),
    "the accept in quotes": (*RIGHT[:2], b'Sec-WebSocket-Accept: "' + KEY + b'"'),
    "a folded accept": (*RIGHT[:2], b"Sec-WebSocket-Accept:\r\n  " + KEY),
    "a folded header": (*RIGHT, b"X-Folded: a\r\n b\r\n\tc"),
    "a fold first": (b" folded: nothing", *RIGHT),
    "a space before the colon": (b"Upgrade : websocket", *RIGHT[1:]),
    "no colon": (*RIGHT, b"no colon at all"),
    "no name": (*RIGHT, b": value"),
    "a name in Cyrillic": (*RIGHT, "Имя: x".encode()),
    "a name with a space": (*RIGHT, b"X Y: z"),
    "NUL in a value": (*RIGHT, b"X: a\x00b"),
    "CR in a value": (*RIGHT, b"X: a\rb"),
    "LF alone": (b"Upgrade: websocket\nConnection: Upgrade", RIGHT[2]),
    "CR alone": (b"Upgrade: websocket\rConnection: Upgrade", RIGHT[2]),
    "DEL, C1, a terminal": (*RIGHT, b"X: \x7f\xc2\x85\x1b[2J\xe2\x80\xae"),
    "what is not UTF-8": (*RIGHT, b"X: \xff\xfe\xed\xa0\x80"),
    "a long value": (*RIGHT, b"X: " + b"x" * 10_000),
    "a very long value": (*RIGHT, b"X: " + b"x" * 1_000_000),
    "a long name": (*RIGHT, b"x" * 10_000 + b": x"),
    "150 headers": (*RIGHT, *(b"X-%d: x" % n for n in range(150))),
    "20,000 headers": (*RIGHT, *(b"X-%d: x" % n for n in range(20_000))),
    "the same header 5,000 times": (*RIGHT, *(b"X: x",) * 5000),
    "a body with the 101": (*RIGHT, b"Content-Length: 5"),
    "a length below nothing": (*RIGHT, b"Content-Length: -5"),
    "two lengths": (*RIGHT, b"Content-Length: 5", b"Content-Length: 6"),
    "a length of 2**80": (*RIGHT, b"Content-Length: %d" % (1 << 80)),
    "chunks with the 101": (*RIGHT, b"Transfer-Encoding: chunked"),
    "an unknown encoding": (*RIGHT, b"Transfer-Encoding: x, y"),
    "gzip with the 101": (*RIGHT, b"Content-Encoding: gzip"),
    "a subprotocol": (*RIGHT, b"Sec-WebSocket-Protocol: chat"),
    "no subprotocol in words": (*RIGHT, b"Sec-WebSocket-Protocol: "),
    "two subprotocols": (*RIGHT, b"Sec-WebSocket-Protocol: a, b"),
    "a version": (*RIGHT, b"Sec-WebSocket-Version: 99"),
    "cookies": (*RIGHT, *(b"Set-Cookie: a%d=%s" % (n, b"x" * 4000) for n in range(50))),
    "a cookie for ever": (*RIGHT, b"Set-Cookie: a=b; Max-Age=" + b"9" * 30),
    "a cookie that expires in words": (*RIGHT, b"Set-Cookie: a=b; expires=never"),
    "a cookie of nothing": (*RIGHT, b"Set-Cookie: =; ; ;;=", b"Set-Cookie:"),
    "a cookie for others": (*RIGHT, b"Set-Cookie: a=b; Domain=com; Path=../.."),
}

EXTENSIONS: Final = (
    b"permessage-deflate",
    b"permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    b"permessage-deflate; server_max_window_bits=8",
    b"permessage-deflate; server_max_window_bits=16",
    b"permessage-deflate; server_max_window_bits=9; server_max_window_bits=10",
    b"permessage-deflate; client_max_window_bits=8",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; client_max_window_bits=-9",
    b"permessage-deflate; client_max_window_bits=09",
    b'permessage-deflate; client_max_window_bits="12"',
    b"permessage-deflate; x=" + b"9" * 5000,
    b"permessage-deflate; server_no_context_takeover=1",
    b"permessage-deflate, permessage-deflate",
    b"x-webkit-deflate-frame",
    b"permessage-bzip2",
    b";;;,,,===",
    b'permessage-deflate; x="',
    b'permessage-deflate; x="\\',
    b"permessage-deflate" + b"; a" * 20_000,
    b"," * 60_000,
    b"\xff\xfe",
)

LOCATIONS: Final = (
    b"",
    b"/",
    b"//",
    b"?" + b"x" * 70_000,
    b"#fragment",
    b"ws://",
    b"ws://[::1",
    b"ws://[::1]:x/",
    b"ws://256.256.256.256/",
    b"ws://127.0.0.1:99999/",
    b"ws://127.0.0.1:1/",
    b"ws://127.1:1/",
    b"ws://0/",
    b"ws://user:secret@127.0.0.1:1/",
    b"http://127.0.0.1:1/",
    b"https://",
    b"file:///etc/passwd",
    b"javascript:alert(1)",
    b"data:text/plain,x",
    b"\xff\xfe://\xfd",
    b"ws://\xe2\x80\xae/",
    b"ws://a b/",
    b"ws://" + b"a" * 300 + b"/",
    b"ws://" + b"a." * 200 + b"/",
    b"\\\\127.0.0.1\\",
    b"ws:127.0.0.1",
)

RETRY_AFTER: Final = (
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"9" * 400,
    b"0x10",
    b"1, 2",
    b"Fri, 31 Dec 9999 23:59:59 GMT",
    b"Fri, 99 Foo 0000 99:99:99",
    b"\xd9\xa3",
    b"\xff",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
)


def bodies() -> Iterator[Answer]:
    """Yield refusals with a body that is not what it says."""
    bomb = gzip.compress(bytes(16 * 1024 * 1024), 9)
    chunked = b"Transfer-Encoding: chunked"
    said = {
        "a body that is cut off": refused(b"Content-Length: 1000", body=b"x" * 10),
        "a body of chunks that is cut off": refused(chunked, body=b"5\r\nhel"),
        "a chunk of 2**64 bytes": refused(chunked, body=b"ffffffffffffffffff\r\nx"),
        "a chunk of less than nothing": refused(
            chunked, body=b"-5\r\nhello\r\n0\r\n\r\n"
        ),
        "a chunk with a long extension": refused(
            chunked, body=b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"
        ),
        "no number for a chunk": refused(chunked, body=b"hello\r\n0\r\n\r\n"),
        "trailers": refused(
            chunked, body=b"0\r\n" + b"".join(b"X-%d: x\r\n" % n for n in range(9999))
        ),
        "a bomb of gzip": refused(
            b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb), body=bomb
        ),
        "a bomb of deflate": refused(
            b"Content-Encoding: deflate", body=zlib.compress(bytes(1 << 24), 9)
        ),
        "gzip that is none": refused(b"Content-Encoding: gzip", body=b"hello" * 100),
        "brotli that is none": refused(b"Content-Encoding: br", body=b"hello" * 100),
        "zstd that is none": refused(b"Content-Encoding: zstd", body=b"hello" * 100),
        "a character set that is none": refused(
            b"Content-Type: text/html; charset=nonsense", body=b"\xff"
        ),
        "both lengths": refused(chunked, b"Content-Length: 5", body=b"0\r\n\r\n"),
    }
    for name, head in said.items():
        yield Answer(name=name, head=head)


def endless() -> Iterator[Answer]:
    """Yield what has no end."""
    block = b"x" * 65536
    chunked = refused(b"Transfer-Encoding: chunked")
    yield Answer(name="an endless status line", head=b"HTTP/1.1 101 ", more=block)
    yield Answer(name="an endless header", head=answer()[:-2] + b"X: ", more=block)
    yield Answer(name="endless headers", head=answer()[:-2], more=b"X: y\r\n" * 5000)
    yield Answer(
        name="endless folds", head=answer()[:-2] + b"X: y\r\n", more=b" y\r\n" * 5000
    )
    yield Answer(name="endless 100s", head=b"", more=answer(status=b"HTTP/1.1 100 C"))
    yield Answer(
        name="endless 103s",
        head=b"",
        more=answer(b"Link: </x>", status=b"HTTP/1.1 103 Early Hints") * 500,
    )
    yield Answer(name="an endless body", head=refused(), more=block)
    yield Answer(name="endless chunks", head=chunked, more=b"1\r\nx\r\n" * 5000)
    yield Answer(
        name="endless trailers", head=chunked + b"0\r\n", more=b"X: y\r\n" * 5000
    )
    yield Answer(name="an endless chunk's size", head=chunked, more=b"0" * 65536)
    yield Answer(name="empty lines for ever", head=b"", more=b"\r\n" * 5000)
    yield Answer(name="frames for ever", head=agreed(), more=b"\x81\x01m" * 5000)
    for name, head, more in (
        ("a status line", b"HTTP/1.1 1", b"0"),
        ("headers", answer()[:-2], b"X"),
        ("a body", refused(), b"x"),
        ("frames", agreed(), b"\x81"),
    ):
        yield Answer(name=f"{name}, a byte at a time", head=head, more=more, pause=0.02)
    for name, head in (("nothing", b""), ("half a head", agreed()[:40])):
        yield Answer(name=f"{name}, and then silence", head=head, ends="hold")


def known() -> Iterator[Answer]:
    """Yield every answer that has a name of its own."""
    for name, greeting in GREETINGS.items():
        yield Answer(name=f"a greeting of {name}", head=greeting)
        yield Answer(name=f"a greeting of {name}, held", head=greeting, ends="hold")
    for number, status in enumerate(STATUS_LINES):
        yield Answer(name=f"status line {number}", head=answer(*RIGHT, status=status))
    for name, lines in HEADERS.items():
        yield Answer(name=f"headers: {name}", head=answer(*lines))
    for number, extension in enumerate(EXTENSIONS):
        line = b"Sec-WebSocket-Extensions: " + extension
        yield Answer(name=f"extensions {number}", head=agreed(line))
    for number, location in enumerate(LOCATIONS):
        head = refused(b"Location: " + location, status=b"302 Found")
        yield Answer(name=f"a redirect {number}", head=head)
    for number, value in enumerate(RETRY_AFTER):
        head = refused(b"Retry-After: " + value, status=b"503 Busy")
        yield Answer(name=f"retry-after {number}", head=head)
    for code in (100, 102, 103, 199):
        early = answer(b"X: y", status=b"HTTP/1.1 %d x" % code)
        yield Answer(name=f"a {code}, then the 101", head=early + agreed())
        yield Answer(name=f"99 of {code}, then the 101", head=early * 99 + agreed())
    for code in (
        200,
        201,
        301,
        307,
        400,
        401,
        404,
        407,
        417,
        421,
        426,
        429,
        500,
        511,
    ):
        yield Answer(name=f"a bare {code}", head=refused(status=b"%d x" % code))
    for tail in (b"\x88\x00", b"\x88\x02\x03\xe8", b"\xff" * 9, b"\x81", b"GET /"):
        yield Answer(name=f"a 101 and {tail!r}", head=agreed(tail=tail))
        yield Answer(
            name=f"a reset behind {tail!r}", head=agreed(tail=tail), ends="reset"
        )
    yield from bodies()
    yield from endless()


_KNOWN: Final = tuple(known())

#: What the mutations begin with.
_SEEDS: Final = (
    agreed(),
    agreed(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12"),
    refused(b"Content-Length: 5", b"Retry-After: 5", body=b"hello"),
    refused(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    answer(status=b"HTTP/1.1 103 Early Hints") + agreed(),
)


def _flip(rng: random.Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << rng.randrange(8)


def _drop(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + rng.randint(1, 8)]


def _repeat(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = data[at : at + rng.randint(1, 40)] * rng.randint(1, 50)


def _insert(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = rng.choice(
        (
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b":",
            b" ",
            b"\t",
            b",",
            b"\xff",
            b"\x7f",
            b"%",
            b'"',
        )
    ) * rng.choice((1, 1, 2, 500))


def _swap(rng: random.Random, data: bytearray, at: int) -> None:
    lines = bytes(data).split(CRLF)
    rng.shuffle(lines)
    data[:] = CRLF.join(lines)


_MUTATIONS: Final[tuple[Callable[[random.Random, bytearray, int], None], ...]] = (
    _flip,
    _drop,
    _repeat,
    _insert,
    _swap,
)


def mutated(rng: random.Random, number: int) -> Answer:
    """Return an answer that was right, and is broken at a few places."""
    data = bytearray(rng.choice(_SEEDS))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        rng.choice(_MUTATIONS)(rng, data, rng.randrange(max(len(data), 1)))
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    ends = rng.choices(("close", "reset", "hold"), (8, 2, 1))[0]
    return Answer(name=f"mutation {number}", head=bytes(data), ends=ends)


def answer_of(seed: int, number: int) -> Answer:
    """Return one answer: the table first, then mutations for ever."""
    if number < len(_KNOWN):
        return _KNOWN[number]
    return mutated(random.Random(f"{seed}/{number}"), number)


def pieces_of(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Cut what is sent at random, or not at all."""
    if rng.random() < 0.5 or len(data) < 2:
        yield data
        return
    most = min(len(data) - 1, 6)
    cuts = sorted(rng.sample(range(1, len(data)), rng.randint(1, most)))
    for start, end in itertools.pairwise((0, *cuts, len(data))):
        yield data[start:end]


#: How many have a name of their own.
KNOWN: Final = len(_KNOWN)
