"""What a hostile or an odd server can do before the 101, and what it costs.

Each attack is one script. Whatever it sends, the attempt ends in an error that says
what came; the memory that it took is bounded, and so is the longest time for which it
held the loop. ``test_lowest.py`` runs this file once more with the lowest versions
that are allowed.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import resource
import time
from typing import TYPE_CHECKING, Final, Self

import aiohttp
import pytest

from resilient_ws import (
    Access,
    AttemptFailed,
    ConnectFailed,
    GaveUp,
    HandshakeRejected,
    Inbox,
    OpenTimeout,
    ProtocolError,
    Reconnect,
    Timeouts,
    connect,
)
from resilient_ws.policy.refusals import MAX_HEADERS as HEADERS_KEPT, MAX_SIZE
from resilient_ws.testing import assert_no_leaks
from resilient_ws.transport.dial import BODY_KEPT
from resilient_ws.transport.response_handler import MAX_HEAD, MAX_HEADERS, MAX_INTERIM
from tests.wire.outcome import find_secrets, laden, outcome_of
from tests.wire.raw import Peer, RawServer, frame
from tests.wire.witness import AT_ONCE, BOTH_LOOPS, Witness, soon, watched


if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [pytest.mark.wire, BOTH_LOOPS]

MIB: Final = 1024 * 1024
#: What any attack may cost, in bytes of memory.
MOST_MEMORY: Final = 24 * MIB

OK: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
SWITCHING: Final = ("Upgrade: websocket", "Connection: Upgrade")
REFUSED: Final = b"HTTP/1.1 401 Unauthorized\r\n"
CHUNKED: Final = REFUSED + b"Transfer-Encoding: chunked\r\n\r\n"


class Cost:
    """Watches the memory of this process, from the loop itself.

    How long the loop is held at most, `make security` measures: here it would be the
    time of the machine, and of what traces the code.
    """

    def __init__(self) -> None:
        self.memory = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._before = _resident()
        self._next = self._loop.call_later(0.001, self._tick)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tick()
        self._next.cancel()

    def _tick(self) -> None:
        self.memory = max(self.memory, _resident() - self._before)
        self._next = self._loop.call_later(0.001, self._tick)

    def check(self) -> None:
        assert self.memory < MOST_MEMORY, f"{self.memory / MIB:.1f} MiB"


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - asked a thousand times a second
        return int(statm.read().split()[1]) * resource.getpagesize()


def for_ever(head: bytes, again: bytes) -> Callable[[Peer], None]:
    """A script that answers with a beginning and then without an end."""
    block = again * max(1, 65_536 // len(again))

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(head)
        while True:
            peer.sock.sendall(block)

    return script


def once(answer: bytes, *, stays: bool = False) -> Callable[[Peer], None]:
    """A script that answers so, and hangs up or stays."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(answer)
        if stays:
            peer.drain()

    return script


def numbered(count: int, line: str) -> bytes:
    return "".join(line.format(number) for number in range(count)).encode()


TOO_LONG: Final = f"more than {MAX_HEAD:,} bytes of headers"

ENDLESS: Final = {
    "headers": (for_ever(OK, b"X-Header: and another one\r\n"), "more than"),
    "header line": (for_ever(OK + b"X-Header: ", b"a"), TOO_LONG),
    "header name": (for_ever(OK, b"a"), TOO_LONG),
    "folded header": (for_ever(OK + b"X-Header: a\r\n", b" and more\r\n"), ""),
    "status line": (for_ever(b"HTTP/1.1 101 ", b"a"), TOO_LONG),
    "interim answers": (
        for_ever(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        f"more than {MAX_INTERIM} interim answers",
    ),
    "interim answers with headers": (
        for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"),
        f"more than {MAX_INTERIM} interim answers",
    ),
    "empty lines": (for_ever(b"", b"\r\n"), ""),
    "zeros": (for_ever(b"", b"\0"), "something that is not HTTP"),
    "text": (for_ever(b"", b"All work and no play\n"), "something that is not HTTP"),
}


@pytest.mark.parametrize("attack", ENDLESS)
async def test_an_answer_without_an_end(
    attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    script, words = ENDLESS[attack]
    async with assert_no_leaks(), RawServer(script) as server, Cost() as cost:
        ended = await outcome_of(server.url, caplog)
    assert isinstance(ended.root, ConnectFailed), ended.root
    assert ended.root.stage == "handshake"
    assert words in str(ended.root)
    assert not ended.fatal
    cost.check()


BOMB: Final = gzip.compress(b"\0" * (256 * MIB), 6)

BODIES: Final = {
    "chunks": for_ever(CHUNKED, b"400\r\n" + b"a" * 1024 + b"\r\n"),
    "tiny chunks": for_ever(CHUNKED, b"1\r\na\r\n"),
    "a chunk": for_ever(CHUNKED + b"FFFFFFFF\r\n", b"a"),
    "a chunk's extension": for_ever(CHUNKED + b"5;x=", b"a"),
    "a chunk's size": for_ever(CHUNKED, b"0"),
    "trailers": for_ever(CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Trailer: one more\r\n"),
    "a trailer": for_ever(CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: ", b"a"),
    "length": for_ever(REFUSED + b"Content-Length: 99999999999\r\n\r\n", b"a"),
    "no length": for_ever(REFUSED + b"\r\n", b"a"),
    "bomb": once(
        REFUSED
        + b"Content-Encoding: gzip\r\n"
        + f"Content-Length: {len(BOMB)}\r\n\r\n".encode()
        + BOMB
    ),
    "bomb in chunks": once(
        REFUSED
        + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(BOMB):x}\r\n".encode()
        + BOMB
        + b"\r\n0\r\n\r\n"
    ),
    "bomb of deflate": for_ever(
        REFUSED + b"Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"400\r\n" + b"\0" * 1024 + b"\r\n",
    ),
}


@pytest.mark.parametrize("attack", BODIES)
async def test_a_refusal_without_an_end(
    attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal counts, and nothing of it is inflated."""
    script = BODIES[attack]
    async with assert_no_leaks(), RawServer(script) as server, Cost() as cost:
        ended = await outcome_of(server.url, caplog)
    assert isinstance(ended.root, HandshakeRejected), ended.root
    assert ended.root.status == 401
    assert len(ended.root.body) <= BODY_KEPT
    if attack.startswith("bomb i"):
        assert ended.root.body == BOMB[:BODY_KEPT]
    if attack.startswith("trailer"):
        assert ended.root.body == b"hello"
    cost.check()


@pytest.mark.parametrize("attack", ["bomb", "bomb in chunks", "bomb of deflate"])
async def test_a_borrowed_client_inflates_nothing_either(
    attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    """How large the head may be, is its own affair."""
    script = BODIES[attack]
    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        aiohttp.ClientSession() as http,
        Cost() as cost,
    ):
        ended = await outcome_of(server.url, caplog, http=http)
    assert isinstance(ended.root, HandshakeRejected), ended.root
    assert len(ended.root.body) <= BODY_KEPT
    cost.check()


#: Through aiohttp's own CONNECT, and through ours.
DESTINATIONS: Final = ("wss://server.example/", "ws://server.example/")


@pytest.mark.parametrize("url", DESTINATIONS)
@pytest.mark.parametrize("attack", ENDLESS)
async def test_a_proxy_whose_answer_has_no_end(
    attack: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    script, _ = ENDLESS[attack]
    async with assert_no_leaks(), RawServer(script) as proxy, Cost() as cost:
        ended = await outcome_of(
            url,
            caplog,
            proxy=proxy.url.replace("ws:", "http:"),
            access=Access(allow_insecure=True),
        )
    # What aiohttp takes for an interim answer, ours takes for the answer.
    assert isinstance(ended.root, ConnectFailed | HandshakeRejected), ended.root
    assert "The proxy " in str(ended.root)
    cost.check()


@pytest.mark.parametrize("url", DESTINATIONS)
@pytest.mark.parametrize("attack", BODIES)
async def test_a_proxy_whose_refusal_has_no_end(
    attack: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = BODIES[attack]
    async with assert_no_leaks(), RawServer(script) as proxy, Cost() as cost:
        ended = await outcome_of(
            url,
            caplog,
            proxy=proxy.url.replace("ws:", "http:"),
            access=Access(allow_insecure=True),
        )
    assert isinstance(ended.root, HandshakeRejected), ended.root
    assert (ended.root.status, ended.root.by) == (401, "proxy")
    cost.check()


@pytest.mark.parametrize("url", DESTINATIONS)
async def test_a_proxy_that_is_silent_is_said_to_be(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), RawServer(lambda peer: peer.drain()) as proxy:
        ended = await outcome_of(
            url,
            caplog,
            proxy=proxy.url.replace("ws:", "http:"),
            access=Access(allow_insecure=True),
            timeouts=Timeouts(open=0.3),
        )
    assert isinstance(ended.root, OpenTimeout)
    assert "answer" in str(ended.root)


async def test_nothing_is_asked_for_compressed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with RawServer(once(REFUSED + b"Content-Length: 0\r\n\r\n")) as server:
        await outcome_of(server.url, caplog)
        assert "accept-encoding" not in server.requests[0].headers


ODD: Final = {
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server ('SSH-2.0-OpenSSH_9.2')"),
    "SMTP": (b"220 mail.example ESMTP\r\n", "a mail server (SMTP) ('220 mail."),
    "HTTP/2": (b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", "an HTTP/2 frame"),
    "TLS alert": (b"\x15\x03\x01\0\x02\x02\x0a", "a TLS alert (in hex 15 03 01"),
    "TLS record": (b"\x16\x03\x03\0\x7a\x02", "use wss://"),
    "Redis": (b"-ERR wrong number of arguments\r\n", "a reply from Redis ('-ERR"),
    "HTTP/0.9": (b"<html>Welcome to nginx</html>", "without HTTP headers ('<html>"),
    "text": (b"hello there\r\n", "not HTTP: 13 bytes received (first: 'hello there')"),
    "binary": (b"\xde\xad\xbe\xef", "4 bytes received (first: in hex de ad be ef)"),
    "bad header": (OK + b"no colon\r\n\r\n", "malformed HTTP"),
    "bad status": (b"HTTP/1.1 abc\r\n\r\n", "malformed HTTP"),
}


@pytest.mark.parametrize("stays", [True, False], ids=["stays", "hangs up"])
@pytest.mark.parametrize("peer", ODD)
async def test_what_came_is_said(
    peer: str, stays: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answer, words = ODD[peer]
    script = once(answer, stays=stays)
    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(server.url, caplog)
    assert isinstance(ended.root, ConnectFailed)
    assert ended.root.stage == "handshake"
    assert words in str(ended.root)
    assert not ended.fatal


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "ended the connection without answering"),
        (b"HTTP/1.1 101 Swi", "in the middle of its answer to the handshake: 16 bytes"),
        (OK, f"in the middle of its answer to the handshake: {len(OK)} bytes"),
        (b"HTT", "in the middle of its answer to the handshake: 3 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "in the middle of its answer"),
    ],
)
async def test_an_answer_that_breaks_off(
    answer: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), RawServer(once(answer)) as server:
        ended = await outcome_of(server.url, caplog)
    assert isinstance(ended.root, ConnectFailed)
    assert words in str(ended.root)


async def test_a_banner_that_comes_before_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(server.url, caplog)
    assert "SSH server ('SSH-2.0-OpenSSH_9.2')" in str(ended.root)


async def test_a_port_that_echoes_shows_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(peer: Peer) -> None:
        while data := peer.sock.recv(65_536):
            peer.sock.sendall(data)

    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(laden(server), caplog, subprotocols=["planted.token"])
    assert "our own request" in str(ended.root)
    assert not find_secrets(ended.told)


async def test_a_complaint_about_our_request_shows_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(peer: Peer) -> None:
        request = peer.read_request()
        peer.sock.sendall(f"-ERR unknown command {request.target}\r\n".encode())
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(laden(server), caplog)
    assert "a reply from Redis." in str(ended.root)
    assert not find_secrets(ended.told)


PLANTED: Final = "planted.token-4711"
DEFLATE: Final = "Sec-WebSocket-Extensions: permessage-deflate; "


@pytest.mark.parametrize(
    "lines",
    [
        [f"Upgrade: {PLANTED}", "Connection: Upgrade"],
        ["Upgrade: websocket", f"Connection: {PLANTED}, close"],
        [*SWITCHING, f"Sec-WebSocket-Protocol: Bearer {PLANTED}"],
        [*SWITCHING, f"Sec-WebSocket-Extensions: {PLANTED}"],
        [*SWITCHING, f'Sec-WebSocket-Extensions: x; a="{PLANTED}'],
        [*SWITCHING, f"{DEFLATE}{PLANTED}"],
        [*SWITCHING, f"{DEFLATE}{PLANTED}; {PLANTED}"],
        [*SWITCHING, f"{DEFLATE}server_max_window_bits={PLANTED.upper()}"],
        [*SWITCHING, f"{DEFLATE}server_no_context_takeover={PLANTED}"],
    ],
)
async def test_a_wrong_101_that_repeats_the_request_is_not_quoted(
    lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        pairs = (line.partition(": ") for line in lines)
        headers = [(name, value) for name, _, value in pairs]
        peer.respond([*headers, ("Sec-WebSocket-Accept", peer.accept_key)])
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        headers = {"Authorization": f"Bearer {PLANTED}"}
        ended = await outcome_of(server.url, caplog, headers=headers)
    assert isinstance(ended.root, ProtocolError)
    assert "(a part of our own request)" in str(ended.root)
    assert not [text for text in ended.told if PLANTED in text.lower()]


@pytest.mark.parametrize("first", [0, 1, 100, 16 * 1024 + 1])
@pytest.mark.parametrize("beyond", [0, 1])
async def test_the_bound_of_a_head_is_the_same_however_it_is_cut(
    first: int, beyond: int
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        head = (
            f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {peer.accept_key}\r\nX: "
        )
        head += "x" * (MAX_HEAD - len(head) - 4 + beyond) + "\r\n\r\n"
        peer.sock.sendall(head[:first].encode())
        time.sleep(0.02)
        peer.sock.sendall(head[first:].encode() + frame("at once"))
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        session = connect(
            server.url,
            reconnect=Reconnect(stop=lambda _: True),
            timeouts=Timeouts(close=0.5),
        )
        if beyond:
            with pytest.raises(GaveUp, match=TOO_LONG):
                async with session:
                    pytest.fail("it was opened")
        else:
            async with session:
                assert await soon(session) == "at once"


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_what_is_wrong_with_a_body_does_not_undo_the_refusal(
    end: bytes, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    head = end.join((b"HTTP/1.1 401 x", b"Transfer-Encoding: chunked", b"", b""))

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(head[:-1] if pause else b"")
        time.sleep(pause)
        peer.sock.sendall((head[-1:] if pause else head) + b"5\r\nhello\r\nno size\r\n")
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(server.url, caplog)
    assert isinstance(ended.root, HandshakeRejected)
    assert (ended.root.status, ended.root.body) == (401, b"hello")


async def test_headers_of_a_real_gateway_are_accepted() -> None:
    """150 of them, or one of 100 KB: more than aiohttp takes by itself."""
    many = [(f"X-Header-{number}", "x" * 300) for number in range(150)]

    def script(peer: Peer) -> None:
        peer.read_request()
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("X-Policy", "p" * 100_000),
            *many,
            ("Sec-WebSocket-Accept", peer.accept_key),
        ]
        peer.respond(headers)
        peer.echo()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, _),
    ):
        await session.send("here")
        assert await soon(session) == "here"
        assert session.epoch == 1


async def test_more_headers_than_any_gateway_sends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = OK + numbered(MAX_HEADERS + 1, "X-{}: y\r\n") + b"\r\n"
    async with assert_no_leaks(), RawServer(once(answer)) as server:
        ended = await outcome_of(server.url, caplog)
    assert f"more than {MAX_HEADERS:,} headers" in str(ended.root)


async def test_some_interim_answers_come_before_the_101() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * MAX_INTERIM)
        peer.agree(frame("at once"))
        peer.echo()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, _),
    ):
        assert await soon(session) == "at once"


async def test_what_is_kept_of_a_refusal_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = (
        b"HTTP/1.1 503 Busy\r\n"
        + numbered(800, "X-{:03}: " + "y" * 250 + "\r\n")
        + b"Retry-After: 3\r\nContent-Length: 4\r\n\r\nbusy"
    )
    async with assert_no_leaks(), RawServer(once(answer)) as server:
        ended = await outcome_of(server.url, caplog)
    refusal = ended.root
    assert isinstance(refusal, HandshakeRejected)
    assert (refusal.status, refusal.body) == (503, b"busy")
    assert refusal.headers["retry-after"] == "3"
    assert len(refusal.headers) <= HEADERS_KEPT
    size = sum(len(name) + len(value) for name, value in refusal.headers.items())
    assert size <= MAX_SIZE


COOKIES: Final = {
    "age": ["a=b; Max-Age=" + "9" * 60, "c=d; Max-Age=-" + "9" * 60],
    "age of words": ["a=b; Max-Age=soon"],
    "date": ["a=b; Expires=Fri, 31 Dec 99999999999 23:59:59 GMT"],
    "no name": ["=b", ";", "="],
    "long": ["a=" + "b" * 100_000],
    "everywhere": ["a=b; Domain=.", "a=b; Domain=com; Path=/"],
}


@pytest.mark.parametrize("kind", COOKIES)
@pytest.mark.parametrize("status", [101, 503])
async def test_a_cookie_of_any_kind_breaks_nothing(kind: str, status: int) -> None:
    """Neither this attempt nor the next, to which it would go along."""
    attempts = itertools.count(1)

    def script(peer: Peer) -> None:
        peer.read_request()
        headers = [("Set-Cookie", value) for value in COOKIES[kind]]
        if status == 101 or next(attempts) > 1:
            peer.respond(
                [
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Accept", peer.accept_key),
                    *headers,
                ]
            )
            peer.echo()
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            answer = f"HTTP/1.1 503 Busy\r\n{lines}Content-Length: 0\r\n\r\n"
            peer.sock.sendall(answer.encode())

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, _),
    ):
        await session.send("here")
        assert await soon(session) == "here"


async def test_thousands_of_cookies_do_not_add_up() -> None:
    """Neither in memory nor in what is sent with the next request."""
    number = itertools.count()

    def script(peer: Peer) -> None:
        peer.read_request()
        lines = "".join(
            f"Set-Cookie: name{next(number)}={'v' * 200}\r\n" for _ in range(900)
        )
        answer = f"HTTP/1.1 503 Busy\r\n{lines}Content-Length: 0\r\n\r\n"
        peer.sock.sendall(answer.encode())

    async with assert_no_leaks(), RawServer(script) as server, Cost() as cost:
        url = server.url.replace("127.0.0.1", "localhost")
        session = connect(url, reconnect=AT_ONCE, wait_open=False)
        seen = Witness(session)
        async with session:
            await seen.until(AttemptFailed, count=12, within=20.0)
    sent = [len(request.headers.get("cookie", "")) for request in server.requests]
    assert max(sent) <= 16 * 1024
    assert max(sent[1:]) > 0
    cost.check()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"", "did not answer the handshake", id="nothing"),
        pytest.param(OK * 100, "bytes of a response had arrived", id="a byte a time"),
        pytest.param(
            b"HTTP/1.1 102 Processing\r\n\r\n" * 100,
            "bytes of a response had arrived",
            id="slow interim answers",
        ),
    ],
)
async def test_an_answer_that_takes_for_ever_is_cut_off(
    answer: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        for byte in answer:
            peer.sock.sendall(bytes([byte]))
            time.sleep(0.02)
        peer.drain()

    async with assert_no_leaks(), RawServer(script) as server:
        ended = await outcome_of(server.url, caplog, timeouts=Timeouts(open=0.5))
    assert isinstance(ended.root, OpenTimeout)
    assert words in str(ended.root)


async def test_a_flood_behind_the_101_is_read_in_order_and_in_bounds() -> None:
    """It comes in the same moment, before aiohttp has handed the socket over."""
    messages = [f"{number:>1020}" for number in range(10_000)]
    flood = [b"".join(map(frame, messages[n : n + 400])) for n in range(0, 10_000, 400)]

    def script(peer: Peer) -> None:
        peer.accept(flood[0])
        for part in flood[1:]:
            peer.sock.sendall(part)
        peer.drain()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        Cost() as cost,
        watched(server.url, inbox=Inbox(max_messages=100)) as (session, _),
    ):
        for message in messages:
            assert await session.receive() == message
        assert session.epoch == 1
    assert cost.memory < MOST_MEMORY
