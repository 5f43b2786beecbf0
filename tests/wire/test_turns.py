"""What a hostile stream may have done in one turn of the loop, counted on sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from resilient_ws import Inbox, ResilientWSError, Timeouts
from resilient_ws.protocol.receiver import Receiver
from resilient_ws.protocol.steps import INFLATED_PER_STEP, MAX_MESSAGES, MAX_STEPS
from resilient_ws.testing import assert_no_leaks
from tests.hostile.streams import BOMB, COMPRESSED, STREAMS
from tests.wire.raw import RawServer
from tests.wire.witness import BOTH_LOOPS, watched


if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.raw import Peer


pytestmark = pytest.mark.wire

#: A turn ends what was kept, and reads: twice, where two reads are full ones.
CALLS = 3
#: What is looked at of each: it goes on alike.
TURNS = 30
NAMES = [
    *("empty messages", "messages and pings in turn", "pings between fragments"),
    *("bombs", "small bombs", "a bomb, a byte a frame", "empty compressed messages"),
    *("messages that end zlib's stream", "final blocks within a message"),
]


@attrs.define
class Work:
    """What was done in one turn."""

    calls: int = 0
    messages: int = 0
    controls: int = 0
    inflated: int = 0


class Turns:
    """Counts the work of the engine in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = [Work()]
        self.enough = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        receive = Receiver.receive

        def counted(
            receiver: Receiver,
            chunk: memoryview,
            *rest: Any,
        ) -> int:
            before = receiver.received_size
            controls = len(receiver.pings) + len(receiver.pongs)
            count = receive(receiver, chunk, *rest)
            work = self.work[-1]
            work.calls += 1
            work.messages += count
            work.controls += len(receiver.pings) + len(receiver.pongs) - controls
            work.inflated += receiver.received_size - before
            return count

        monkeypatch.setattr(Receiver, "receive", counted)
        self._next()

    def _next(self) -> None:
        if self.work[-1] != Work():
            self.work.append(Work())
        if len(self.work) > TURNS:
            self.enough.set()
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


def sending(name: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read_request()
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", peer.accept_key),
        ]
        if name in COMPRESSED:
            headers.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
        peer.respond(headers)
        for piece in STREAMS[name]():
            peer.sock.sendall(piece)
        peer.close(1000)

    return script


@BOTH_LOOPS
@pytest.mark.parametrize("overflow", ["pause", "drop_oldest"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_turn_of_the_loop_takes_a_bounded_part_of_any_stream(
    name: str, overflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with assert_no_leaks(), RawServer(sending(name)) as server:
        turns = Turns(monkeypatch)
        inbox, brief = Inbox(overflow=overflow), Timeouts(close=0.2)
        async with watched(server.url, inbox=inbox, timeouts=brief) as (session, _):
            consumer = asyncio.create_task(take_all(session))
            enough = asyncio.create_task(turns.enough.wait())
            await asyncio.wait((consumer, enough), return_when=asyncio.FIRST_COMPLETED)
            for task in (consumer, enough):
                task.cancel()
            await asyncio.gather(consumer, enough, return_exceptions=True)
        # The rest was discarded, for the close frame behind it.
        turns.stop()
    assert len(turns.work) > 1
    for work in turns.work:
        assert work.messages <= CALLS * MAX_MESSAGES
        assert work.controls <= CALLS * MAX_STEPS
        # A message that ends in a call counts as a whole in it.
        assert work.inflated <= CALLS * (MAX_STEPS * INFLATED_PER_STEP + BOMB)


async def take_all(session: Any) -> None:
    try:
        async for _ in session:
            pass
    except ResilientWSError:
        pass
