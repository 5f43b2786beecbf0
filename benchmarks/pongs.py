"""When servers of other hands answer a ping, and so when ``confirm="pong"`` confirms.

    python -m benchmarks.pongs [--write docs/pongs.md] [--only nats] [--rounds 3]

A client of aiohttp that answers and hides nothing asks each server three times, 0.1 s
apart, in each situation of its application, directly and through nginx. What a cell
says is computed from which pongs came, and when.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp

from tests.servers.daemons import Mosquitto, Nats, Nginx
from tests.servers.process import NODE_MODULES, daemon
from tests.servers.scripted import SERVERS
from tests.wire import brokers


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from tests.servers.process import ServerProcess


Socket: TypeAlias = aiohttp.ClientWebSocketResponse

#: Seconds for which an application is busy, or the client listens for more.
BUSY: Final = 1.5
LISTENING: Final = 2.0
#: An answer that took longer is not called one at once; the machine may be loaded.
AT_ONCE: Final = 0.5
PINGS: Final = (b"1", b"2", b"3")
SPACING: Final = 0.1
#: Messages that fill what a server keeps for an application that takes none.
MANY: Final = 5000

WAYS: Final = ("directly", "through nginx")


# --- the servers -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Kind:
    """A server: how it is started, greeted and given a message.

    ``is_broker`` tells that its application is itself: it is busy when it is frozen.
    """

    start: Callable[[pathlib.Path], ServerProcess]
    path: str = "/control"
    greet: Callable[[Socket], Awaitable[None]] | None = None
    message: bytes = b"x" * 64
    protocols: tuple[str, ...] = ()
    is_broker: bool = False


async def greet_mosquitto(client: Socket) -> None:
    await client.send_bytes(brokers.mqtt_hello("client"))
    answer = await client.receive_bytes()
    assert answer[0] == brokers.CONNACK, answer


async def greet_nats(client: Socket) -> None:
    info = await client.receive_bytes()
    assert info.startswith(b"INFO "), info
    await client.send_bytes(b'CONNECT {"verbose": false}\r\n')


def scripted(name: str) -> Kind:
    return Kind(lambda _: SERVERS[name]())


KINDS: Final = {
    "websockets": scripted("websockets"),
    "aiohttp": scripted("aiohttp"),
    "node ws": scripted("node"),
    "mosquitto": Kind(
        Mosquitto,
        "/mqtt",
        greet_mosquitto,
        brokers.publication("readings", "x" * 64),
        ("mqtt",),
        is_broker=True,
    ),
    "NATS": Kind(
        Nats,
        "/",
        greet_nats,
        brokers.nats_publication("readings", "x" * 64),
        is_broker=True,
    ),
}


# --- a play --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Situation:
    """What the application does when the pings come.

    Attributes:
        name: The head of its column.
        command: What a scripted server is told to do, with a number of seconds.
        lasts: For how long; ``None`` is for ever.
        messages: How many messages come before the pings.
    """

    name: str
    command: str = ""
    lasts: float | None = 0.0
    messages: int = 0


SITUATIONS: Final = (
    Situation("idle"),
    Situation(f"takes no message for {BUSY} s", "sleep", BUSY),
    Situation(
        f"takes no message for {BUSY} s, {MANY:,} before the ping", "sleep", BUSY, MANY
    ),
    Situation(f"holds its loop for {BUSY} s", "block", BUSY),
    Situation("never takes a message", "sleep", None),
    Situation(f"never takes a message, {MANY:,} before the ping", "sleep", None, MANY),
)


@dataclasses.dataclass(frozen=True)
class Seen:
    """The pongs of one play.

    Attributes:
        answered: Which pings were answered, in the order of the answers.
        latencies: Seconds from each of these pings to its pong.
        late: How many of the pongs came when the application went on, or more than
            ``AT_ONCE`` after their ping.
        unasked: Pongs to no ping.
    """

    answered: tuple[bytes, ...]
    latencies: tuple[float, ...]
    late: int
    unasked: int

    @property
    def words(self) -> str:
        """What kind of answer this was."""
        if not self.answered:
            return "never"
        which = ""
        if set(self.answered) == {PINGS[-1]}:
            which = "only the newest"
        elif set(self.answered) == {PINGS[0]}:
            which = "only the oldest"
        elif len(self.answered) < len(PINGS):
            which = f"{len(self.answered)} of {len(PINGS)}"
        elif self.answered != PINGS:
            which = "out of order"
        when = "late" if self.late == len(self.answered) else "at once"
        if 0 < self.late < len(self.answered):
            when = f"{self.late} of {len(self.answered)} late"
        also = "and unasked" if self.unasked else ""
        return ", ".join(part for part in (which, when, also) if part)


async def listen(
    client: Socket, until: float, pongs: list[tuple[bytes, float]]
) -> None:
    """Note every pong until a time on the monotonic clock."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(until - time.monotonic()):
            while True:
                message = await client.receive()
                if message.type is aiohttp.WSMsgType.PONG:
                    pongs.append((bytes(message.data), time.monotonic()))
                elif message.type not in {
                    aiohttp.WSMsgType.TEXT,
                    aiohttp.WSMsgType.BINARY,
                    aiohttp.WSMsgType.PING,
                }:
                    raise ConnectionError(f"The server ended the play: {message}")


async def ask(client: Socket) -> dict[bytes, float]:
    asked: dict[bytes, float] = {}
    for payload in PINGS:
        asked[payload] = time.monotonic()
        await client.ping(payload)
        await asyncio.sleep(SPACING)
    return asked


@contextlib.asynccontextmanager
async def busy(
    server: ServerProcess, kind: Kind, situation: Situation, client: Socket
) -> AsyncIterator[float]:
    """Have the application do what the situation says; give when that ends."""
    if not situation.command:
        yield 0.0
        return
    seconds = 3600.0 if situation.lasts is None else situation.lasts
    if not kind.is_broker:
        command = f"{situation.command} {seconds}"
        before = len(server.entries("message", text=command))
        await client.send_str(command)
        await server.logged("message", text=command, count=before + 1)
        yield time.monotonic() + seconds
        return
    await server.freeze()
    thaw = asyncio.get_running_loop().create_task(_thaw(server, seconds))
    try:
        yield time.monotonic() + seconds
    finally:
        thaw.cancel()
        await asyncio.wait({thaw})
        await server.thaw()


async def _thaw(server: ServerProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await server.thaw()


async def play(
    server: ServerProcess, url: str, kind: Kind, situation: Situation
) -> Seen:
    """Ask one server in one situation."""
    pongs: list[tuple[bytes, float]] = []
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, autoping=False, protocols=kind.protocols) as client,
    ):
        if kind.greet is not None:
            await kind.greet(client)
        async with busy(server, kind, situation, client) as goes_on:
            for _ in range(situation.messages):
                await client.send_bytes(kind.message)
            asking = asyncio.create_task(ask(client))
            lasts = situation.lasts or 0.0
            await listen(client, time.monotonic() + lasts + LISTENING, pongs)
            asked = await asking
        # A server that takes nothing would not take a close frame either.
        await _drop(client)
    if situation.lasts is None or not situation.command:
        goes_on = float("inf")
    return judged(pongs, asked, goes_on)


async def _drop(client: Socket) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.close()


def judged(
    pongs: Sequence[tuple[bytes, float]], asked: dict[bytes, float], goes_on: float
) -> Seen:
    """Compute what kind of answers these pongs were."""
    answers = [(payload, at) for payload, at in pongs if payload in asked]
    return Seen(
        answered=tuple(payload for payload, _ in answers),
        latencies=tuple(at - asked[payload] for payload, at in answers),
        late=sum(
            at >= goes_on or at - asked[payload] > AT_ONCE for payload, at in answers
        ),
        unasked=len(pongs) - len(answers),
    )


Results: TypeAlias = dict[tuple[str, str, Situation], list[Seen]]


async def perform(name: str, way: str, rounds: int, results: Results) -> None:
    """Play every situation with one server, one after the other."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(kind.start(pathlib.Path(folder)))
            front = server
            if way == WAYS[1]:
                nginx = Nginx(pathlib.Path(folder), server.port)
                front = await stack.enter_async_context(nginx)
            for situation in SITUATIONS:
                if kind.is_broker and situation.command == "sleep" and situation.lasts:
                    continue  # it has no application beside itself
                plays = results[name, way, situation]
                for _ in range(rounds):
                    url = front.url + kind.path
                    plays.append(await play(server, url, kind, situation))
                print(f"{name} {way}, {situation.name}: {cell(plays)}", flush=True)


# --- the page -----------------------------------------------------------------------


def cell(plays: Sequence[Seen]) -> str:
    """What the plays of a situation have in common, or how often each was seen."""
    if not plays:
        return "-"
    times = collections.Counter(seen.words for seen in plays)
    told = []
    for words, count in times.items():
        took = [
            latency
            for seen in plays
            if seen.words == words
            for latency in seen.latencies
        ]
        figure = f" ({_figure(took)})" if took else ""
        often = "" if len(times) == 1 else f"{count}x "
        told.append(f"{often}{words}{figure}")
    return "; ".join(told)


def _figure(seconds: Sequence[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    factor, unit = (1e3, "ms") if high < 0.1 else (1.0, "s")
    return f"{middle * factor:.1f} {unit}, {low * factor:.1f} to {high * factor:.1f}"


def table(results: Results) -> Iterator[str]:
    yield f"| server | {' | '.join(one.name for one in SITUATIONS)} |"
    yield "| --- " * (1 + len(SITUATIONS)) + "|"
    for name, way in dict.fromkeys((name, way) for name, way, _ in results):
        cells = [cell(results.get((name, way, one), [])) for one in SITUATIONS]
        yield f"| {name}, {way} | {' | '.join(cells)} |"


#: What a server may do with a ping, and what the outbox then says.
CONDUCT: Final = {
    "at once": "the pong proves what its stack has parsed, whatever its application"
    " does; an application that never takes a message is not noticed",
    "late": "the message is `CONFIRMED` late, and after `confirm_timeout` there is one"
    " `ConfirmationOverdue`; liveness must allow for the time (`ping_timeout`)",
    "only the newest": "the one pong confirms everything before it",
    "only the oldest": "it confirms what came before that ping; the rest waits for the"
    " pong to the next one: behind a newer message, or liveness's every"
    " `ping_interval`",
    "never": "the message stays `WRITTEN`; `ConfirmationOverdue` comes once, and"
    " liveness ends the link, if `ping_timeout` is not `None`; with `resend=True` it is"
    " sent again on the next one, until `max_transmissions` ends count against it",
    "unasked": "it confirms nothing, and counts as a sign of life",
}


def conduct(results: Results) -> Iterator[str]:
    """Where each kind of answer was seen, and what it means."""
    yield "| a pong comes | seen with | what the outbox makes of it |"
    yield "| --- | --- | --- |"
    for kind, meaning in CONDUCT.items():
        seen = dict.fromkeys(
            name
            for (name, _, _), plays in results.items()
            if any(kind in play.words for play in plays)
        )
        yield f"| {kind} | {', '.join(seen) or 'none of these'} | {meaning} |"


def versions() -> str:
    def said(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
        return found[0] if found else "?"

    ws = json.loads((NODE_MODULES / "ws" / "package.json").read_text())["version"]
    return ", ".join(
        [
            *(f"{one} {importlib.metadata.version(one)}" for one in list(KINDS)[:2]),
            f"node ws {ws}",
            f"mosquitto {said(daemon('mosquitto', 'mosquitto'), '-h')}",
            f"NATS {said(daemon('nats-server', 'nats-server'), '--version')}",
            f"nginx {said(daemon('nginx', 'nginx'), '-v')}",
        ]
    )


def page(results: Results, *, rounds: int, took: float, load: float) -> str:
    unasked = sum(seen.unasked for plays in results.values() for seen in plays)
    rows = "\n".join(table(results))
    kinds = "\n".join(conduct(results))
    return f"""# When servers answer pings

With `Outbox(confirm="pong")` a message is `CONFIRMED` when a pong has come back to a
ping sent behind it. Written by `make pongs`: {len(PINGS)} pings, {SPACING} s apart, in
each situation of the application, {rounds} times; in brackets the time from a ping to
its pong, median and range. *late*: not before the application went on, or after more
than {AT_ONCE} s. *never*: not within {LISTENING:g} s after it went on, or was to.

{rows}

The brokers are their own application; they are busy while they are frozen (SIGSTOP).
That what is confirmed has arrived, wherever the link is cut, is tested with all of
them, directly and through nginx (`tests/wire/test_confirmed.py`).

## What the outbox makes of it

{kinds}

## The run

{versions()}.
It took {took:.0f} s, with {unasked} pongs unasked; load average {load:.1f} on
{os.cpu_count()} cores.
"""


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    parser.add_argument("--only", default="", help="servers with this in their name")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    results: Results = collections.defaultdict(list)
    # In the order of the table.
    casts = [(n, way) for n in KINDS if options.only in n for way in WAYS]
    for name, way in casts:
        results[name, way, SITUATIONS[0]] = []
    began, load = time.monotonic(), os.getloadavg()[0]
    async with asyncio.TaskGroup() as group:
        for name, way in casts:
            group.create_task(perform(name, way, options.rounds, results))
    took = time.monotonic() - began
    text = page(results, rounds=options.rounds, took=took, load=load)
    print(text)
    if options.write is not None:
        options.write.write_text(text)


if __name__ == "__main__":
    asyncio.run(main())
