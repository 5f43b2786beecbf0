"""A peer writes no line of our logs, and hides none: in whatever it can write."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from resilient_ws import ServerTerminated, Timeouts, connect
from resilient_ws.errors import ProtocolError
from resilient_ws.protocol.close import Close
from resilient_ws.protocol.violation import Violation
from resilient_ws.testing import (
    assert_no_leaks,
)
from resilient_ws.transport.loss_errors import by_close, by_violation
from tests.protocol.test_text import FORGERS
from tests.wire.outcome import outcome_of
from tests.wire.raw import Peer, RawServer, accept


if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.wire

#: What would stand at the beginning of a line, if one were forged.
LINE = "CRITICAL all is well"
#: Fits into a close frame, and into a line of a header.
FORGED = "".join(
    forger + LINE for forger in FORGERS.values() if forger not in "\r\n\x00\ud800"
)
BREAKS = f"\n{LINE}\r{LINE}\x85{LINE}\u2028\u202e\x1b[2K\x7f"


def closes(peer: Peer) -> None:
    peer.accept()
    peer.close(4000, BREAKS)


def answers(head: str) -> Callable[[Peer], None]:
    """Answer with this head; what stands for the accept key is put in."""

    def script(peer: Peer) -> None:
        peer.read_request()
        key = peer.request.headers.get("sec-websocket-key", "")
        said = head.replace("KEY", accept(key))
        peer.sock.sendall(said.encode())

    return script


SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n"
)
END = "Content-Length: 0\r\n\r\n"

SAID = {
    "close reason": closes,
    "reason phrase": answers(f"HTTP/1.1 404 {FORGED}\r\n{END}"),
    "status line": answers(f"HTTP/1.1 {FORGED}\r\n{END}"),
    "no HTTP": answers(f"{FORGED}\r\n{BREAKS}\r\n\r\n"),
    "header of a refusal": answers(f"HTTP/1.1 404 No\r\nX-A: {FORGED}\r\n{END}"),
    "retry-after": answers(f"HTTP/1.1 503 No\r\nRetry-After: {FORGED}\r\n{END}"),
    "location": answers(f"HTTP/1.1 302 No\r\nLocation: {FORGED}\r\n{END}"),
    "host of a location": answers(
        f"HTTP/1.1 302 No\r\nLocation: wss://{FORGED}/\r\n{END}"
    ),
    "path of a location": answers(
        f"HTTP/1.1 302 No\r\nLocation: wss://a.invalid/{FORGED}?{FORGED}\r\n{END}"
    ),
    "upgrade": answers(f"HTTP/1.1 101 S\r\nUpgrade: {FORGED}\r\n\r\n"),
    "connection": answers(
        f"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: {FORGED}\r\n\r\n"
    ),
    "subprotocol": answers(f"{SWITCHING}Sec-WebSocket-Protocol: {FORGED}\r\n\r\n"),
    "extension": answers(f"{SWITCHING}Sec-WebSocket-Extensions: {FORGED}\r\n\r\n"),
}


def forged(told: list[str]) -> list[str]:
    """The texts in which a line is forged, or something cannot be seen."""
    return [
        text
        for text in told
        for line in text.split("\n")
        if not line.isprintable() or line.startswith(LINE)
    ]


@pytest.mark.parametrize("place", SAID)
async def test_nothing_that_a_server_writes_becomes_a_line_of_ours(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with assert_no_leaks(), RawServer(SAID[place]) as server:
        outcome = await outcome_of(server.url, caplog, timeouts=Timeouts(open=2.0))
        assert server.accepted
    assert not forged(outcome.told)


async def test_a_proxy_neither(caplog: pytest.LogCaptureFixture) -> None:
    refuses = answers(f"HTTP/1.1 502 {FORGED}\r\nX-A: {FORGED}\r\n{END}")
    async with assert_no_leaks(), RawServer(refuses) as server:
        proxy = server.url.replace("ws:", "http:")
        outcome = await outcome_of("wss://a.invalid", caplog, proxy=proxy)
        assert server.accepted
    assert not forged(outcome.told)


async def test_the_reason_is_still_there_as_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "resilient_ws")
    reasons: list[str] = []
    async with assert_no_leaks(), RawServer(closes) as server:
        session = connect(server.url, wait_open=False)
        told = asyncio.Event()

        @session.on(ServerTerminated)
        def note(event: ServerTerminated) -> None:
            reasons.append(event.reason)
            told.set()

        async with session, asyncio.timeout(5.0):
            await told.wait()
    assert reasons[0] == BREAKS


@given(st.text(max_size=60))
def test_whatever_the_text_is(text: str) -> None:
    record = Close(code=4000, reason=text, initiator="peer", clean=True)
    assert str(record).isprintable()
    assert str(by_close(record, ours=False)).isprintable()
    broken = by_violation(Violation(code=1002, text=text), record)
    assert isinstance(broken, ProtocolError)
    for told in (str(broken), repr(broken), repr(record)):
        assert told.isprintable()
