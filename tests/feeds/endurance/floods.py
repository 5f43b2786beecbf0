"""A server that floods a client with nonsense, and one that answers calls wrongly.

It is a process of its own, and sends a good item behind each hundred messages that are
of no use. All the good ones must arrive in order, each of the others must be counted
and reported, and the memory of the client must not grow.

``python -m tests.feeds.endurance.floods PORT COUNT`` is the server.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import resilient_ws
from resilient_ws.feeds import Gap, MessageOdd, json as feeds_json
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.endurance import wrongs
from tests.feeds.endurance.page import memory, table
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    from collections.abc import Iterator


#: A good item follows each so many.
EACH: Final = 100
#: KiB by which the client may grow between a quarter of a flood and its end.
GROWTH: Final = 4096
#: Log lines of the library that a flood may cause.
LINES: Final = 10
PADDING: Final = "x" * 200
KINDS: Final = ("malformed", "unexpected", "unknown")
DECODERS: Final = {"msgspec": feeds_json.loads, "json": json.loads}


def _item(key: str, value: Any) -> str:
    params = {"subscription": key, "result": value}
    return json.dumps({"jsonrpc": "2.0", "method": "news", "params": params})


def _answer(number: Any, **what: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, **what})


def _request(number: int, method: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": [1]})


def _in_turn(*texts: str) -> Callable[[int], str]:
    return lambda number: texts[number % len(texts)]


@attrs.frozen
class Flood:
    """What comes between the good items.

    Attributes:
        text: Makes a message, from a number that counts up.
        counted: How often one is counted, by kind.
        share: Of the messages of the others, where one is large.
    """

    text: Callable[[int], str]
    counted: dict[str, int] = attrs.Factory(dict)
    share: float = 1.0


_MALFORMED: Final = {"malformed": 1}
_DEEP: Final = 100_000
_NO_NUMBERS: Final[tuple[Any, ...]] = ("1", None, [1], {}, True, 1.5)
_NO_TEXTS: Final[tuple[Any, ...]] = (5, [], {}, True)
_ERROR: Final = {"code": 1, "message": "both"}
FLOODS: Final = {
    "no JSON": Flood(_in_turn("", "{", "nonsense", '{"a":}', "[1,", "1e"), _MALFORMED),
    "JSON 100,000 deep": Flood(
        _in_turn("[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP),
        _MALFORMED,
        share=0.01,
    ),
    "JSON that is no message": Flood(
        _in_turn("null", "true", "5", '"text"', "[]", "{}"), _MALFORMED
    ),
    "numbers of 5,000 digits": Flood(
        _in_turn('{"id": 1, "result": ' + "9" * 5000 + "}"), _MALFORMED, share=0.2
    ),
    "lone surrogates": Flood(
        _in_turn('"\\ud800"', '{"id": "\\ud800", "result": 1}'), _MALFORMED
    ),
    "answers with unknown ids": Flood(
        lambda n: _answer(n + 10**6, result=PADDING), {"unexpected": 1}
    ),
    "answers with ids that are no numbers": Flood(
        _in_turn(*(_answer(one, result=1) for one in _NO_NUMBERS)),
        _MALFORMED,
    ),
    "a result and an error at once, unknown ids": Flood(
        lambda n: _answer(n + 10**6, result=1, error=_ERROR),
        {"malformed": 1, "unexpected": 1},
    ),
    "items for nobody": Flood(lambda n: _item(f"k{n}", PADDING), {"unknown": 1}),
    "methods that are no text": Flood(
        _in_turn(*(json.dumps({"method": one}) for one in _NO_TEXTS)),
        _MALFORMED,
    ),
    "batches of 100 parts that are nothing": Flood(
        lambda n: json.dumps([n, True, {}, [], "x"] * 20), {"malformed": 100}, 0.05
    ),
    "requests for methods that are not there": Flood(
        lambda n: _request(n, "__class__")
    ),
    "requests for a method that takes a minute": Flood(lambda n: _request(n, "slow")),
    "requests for a method that fails": Flood(lambda n: _request(n, "fail")),
}


def count_of(name: str, count: int) -> int:
    """Return how many messages a flood has: whole hundreds."""
    return max(EACH, int(count * FLOODS[name].share) // EACH * EACH)


# The server.


async def flood(peer: ServerConnection, name: str, count: int) -> None:
    """Answer the subscription, and pour out the flood; read nothing meanwhile."""
    request = json.loads(await peer.recv())
    # Items of the subscription before its answer.
    await peer.send(_item("mine", 0))
    await peer.send(json.dumps({"id": request["id"], "result": "mine"}))
    text = FLOODS[name].text
    for number in range(1, count_of(name, count) + 1):
        await peer.send(text(number))
        if number % EACH == 0:
            await peer.send(_item("mine", number // EACH))
    # Now what the client sent is read, up to its close frame.
    async for _ in peer:
        pass


async def serve_floods(port: int, count: int) -> None:
    names = list(FLOODS)

    async def handle(peer: ServerConnection) -> None:
        assert peer.request is not None
        which = peer.request.path.strip("/")
        with contextlib.suppress(ConnectionClosed):
            if which == "wrongs":
                await wrongs.serve(peer)
            else:
                await flood(peer, names[int(which)], count)

    async with serve(handle, "127.0.0.1", port, compression=None, max_queue=1):
        await asyncio.Event().wait()


# The client.


class Lines(logging.Handler):
    """Counts what the library writes into the log."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, _: logging.LogRecord) -> None:
        """Count a line."""
        self.count += 1


@attrs.define
class Seen:
    """What a flood did to a client."""

    name: str
    decoder: str
    sent: int
    items: list[Any]
    seconds: float
    #: KiB of resident memory after a quarter of the flood, and after all of it.
    memory: list[int]
    statistics: Any
    reported: collections.Counter[str]
    lines: int
    connections: int

    @property
    def grown(self) -> int:
        return self.memory[-1] - self.memory[0]

    @property
    def faults(self) -> list[str]:
        """Return what was wrong."""
        faults = []
        if self.items != list(range(self.sent // EACH + 1)):
            faults.append(f"the good items are {self.items[:5]} to {self.items[-5:]}")
        if self.grown > GROWTH:
            faults.append(f"the memory grew by {self.grown} KiB")
        if self.connections != 1:
            faults.append("the connection was lost")
        if self.lines > LINES:
            faults.append(f"{self.lines} log lines")
        for kind in KINDS:
            counted = getattr(self.statistics, kind)
            most = self.sent * FLOODS[self.name].counted.get(kind, 0)
            least = most - (wrongs.HELD if kind == "unknown" else 0)
            if not least <= counted <= most:
                faults.append(f"{counted} are {kind}, not {most}")
            if self.reported[kind] != counted:
                faults.append(f"{self.reported[kind]} were reported as {kind}")
        return [f"{self.name}, {self.decoder}: {fault}" for fault in faults]


async def endure(server: ServerProcess, name: str, decoder: str, count: int) -> Seen:
    """Follow the good items through one flood."""
    session = resilient_ws.connect(
        f"{server.url}/{list(FLOODS).index(name)}", compression=None
    )
    reported: collections.Counter[str] = collections.Counter()

    def report(odd: MessageOdd) -> None:
        reported[odd.kind] += 1

    client = Client(session, loads=DECODERS[decoder], report=report)
    client.method("slow", _slow)
    client.method("fail", _fail)
    items: list[Any] = []
    used: list[int] = []
    last = count_of(name, count) // EACH
    began = time.perf_counter()
    with _lines() as lines:
        async with client:
            async for item in await client.subscribe("mine"):
                items.append(item)
                if not isinstance(item, Gap) and item in {last // 4, last}:
                    used.append(memory())
                if item == last:
                    break
            seconds = time.perf_counter() - began
            return Seen(
                name,
                decoder,
                last * EACH,
                items,
                seconds,
                used,
                client.channel.statistics(),
                reported,
                lines.count,
                session.epoch,
            )


@contextlib.contextmanager
def _lines() -> Iterator[Lines]:
    logger, lines = logging.getLogger("resilient_ws"), Lines()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(lines)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
        logger.propagate = propagate


async def _slow(_: int) -> str:
    await asyncio.sleep(60)
    return PADDING


def _fail(_: int) -> str:
    raise KeyError(PADDING)


async def endure_all(
    count: int, calls: int
) -> tuple[list[Seen], list[wrongs.Ended], list[str]]:
    """Endure every flood and every wrong answer, with both decoders."""
    command = [sys.executable, "-m", "tests.feeds.endurance.floods", "{port}"]
    async with ServerProcess([*command, str(count)]) as server:
        seen = [
            await endure(server, name, decoder, count)
            for decoder in DECODERS
            for name in FLOODS
        ]
        ended = [
            await wrongs.endure(f"{server.url}/wrongs", name, decoder, loads, calls)
            for decoder, loads in DECODERS.items()
            for name in wrongs.WRONGS
        ]
    faults = [fault for one in seen for fault in one.faults]
    return seen, ended, faults + [fault for one in ended for fault in one.faults]


_HOW: Final = f"""\
A server sends messages that are of no use, as fast as it can, and a good item behind
each hundred. With both decoders; nothing is held back. *Malformed*, *unexpected* and
*unknown* are the counters of `ChannelStatistics`, and `report=` was called as often;
*not answered* are requests of the server beyond what waits to be answered. *Grown* is
the resident memory of the client from a quarter of the flood to its end.

A promise is broken when a good item is missing, a message is not counted and reported as
what it is, the process grows by more than {GROWTH // 1024} MiB, the connection is lost,
or the library writes more than {LINES} lines into the log. Of items for nobody, up to
{wrongs.HELD} wait for a subscription that may come, and are not counted yet.
"""


async def run() -> tuple[str, list[str]]:
    """Run at full size; return what was seen, and what was wrong."""
    seen, ended, faults = await endure_all(50_000, 1000)
    head = ["sent", "decoder", "messages", "a second", *KINDS]
    head += ["not answered", "log lines", "grown, KiB"]
    rows = [
        (
            one.name,
            one.decoder,
            f"{one.sent:,}",
            f"{one.sent / one.seconds:,.0f}",
            *(f"{getattr(one.statistics, kind):,}" for kind in KINDS),
            f"{one.statistics.outgoing_dropped:,}",
            one.lines,
            one.grown,
        )
        for one in seen
    ]
    parts = [_HOW, table(head, rows), wrongs.HOW, wrongs.report(ended)]
    return "\n\n".join(part.strip() for part in parts), faults


def main() -> None:
    port, count = map(int, sys.argv[1:])
    asyncio.run(serve_floods(port, count))


if __name__ == "__main__":
    main()
