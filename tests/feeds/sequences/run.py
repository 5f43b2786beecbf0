"""One run: the books of many keys, while everything goes wrong; and the judgement."""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import tenacity

from resilient_ws import Liveness, Reconnect, connect
from resilient_ws.feeds import (
    Books,
    BookSource,
    Channel,
    Item,
    Key,
    Plain,
    Reply,
    Stale,
)
from resilient_ws.feeds.source import Continuity
from resilient_ws.testing import BlackHole, FaultProxy, Reset
from tests.feeds.sequences.book import hash_of
from tests.servers.process import HOST, ServerProcess


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from resilient_ws.feeds import Requests, Route

#: Seconds that the books have at the end to become those of the server.
SETTLE: Final = 30.0
#: Seconds between two faults of the link, at least and at most.
FAULT_EVERY: Final = (1.0, 4.0)
#: What is done to the link and the server, and how often.
KINDS: Final = ("kill", "black hole", "reset", "reset")


class Wire(Plain):
    """The server's messages: an answer names its request, an item its key."""

    def route(self, message: str | bytes) -> Route:
        data = json.loads(message)
        return Reply(data["re"], data) if "re" in data else Item(data["k"], data)


@attrs.define
class Copy:
    """The client's book of a key, with what the judge needs."""

    levels: dict[str, int]
    generation: int
    number: int


@attrs.define
class Judge:
    """What happened, and what must not have."""

    #: Books that were given out, or changed, and differed from the server's.
    wrong: list[str] = attrs.Factory(list[str])
    #: Differences that did not follow, and counts that began anew, by key.
    hurts: collections.Counter[Key] = attrs.Factory(collections.Counter[Key])
    #: Books that were lost, by key, and by why.
    stales: collections.Counter[Key] = attrs.Factory(collections.Counter[Key])
    reasons: collections.Counter[str] = attrs.Factory(collections.Counter[str])
    synced: int = 0
    applied: int = 0
    #: When a book was lost, and how long each was.
    lost_at: dict[Key, float] = attrs.Factory(dict[Key, float])
    lost_for: list[float] = attrs.Factory(list[float])

    def apply(self, book: Copy, item: dict[str, Any]) -> None:
        """Change a book as the user would, and compare it with the server's."""
        for level, quantity in item["d"].items():
            if quantity:
                book.levels[level] = quantity
            else:
                book.levels.pop(level, None)
        book.number = item["n"]
        self.applied += 1
        if hash_of(book.levels) != item["h"]:
            self.wrong.append(f"{item['k']} at {item['n']}")

    def follows(self, last: tuple[int, int] | None, item: dict[str, Any]) -> Continuity:
        """Tell how a difference stands, and count what hurts."""
        assert last is not None
        generation, number = last
        if item["g"] != generation:
            self.hurts[item["k"]] += 1
            return Continuity.RESET
        if item["n"] <= number:
            return Continuity.REPEAT
        if item["n"] == number + 1:
            return Continuity.NEXT
        self.hurts[item["k"]] += 1
        return Continuity.JUMP

    def note(self, event: Any) -> None:
        """Take note of what the books say."""
        if isinstance(event, Stale):
            self.stales[event.key] += 1
            self.reasons[f"{type(event.because).__name__}: {event.because}"] += 1
            self.lost_at.setdefault(event.key, time.monotonic())
            return
        self.synced += 1
        since = self.lost_at.pop(event.key, None)
        if since is not None:
            self.lost_for.append(time.monotonic() - since)


@attrs.frozen(kw_only=True)
class Report:
    """A run, and all that it came to."""

    seed: int
    seconds: float
    keys: int
    rate: float
    hurt: dict[str, int]
    faults: dict[str, int]
    connections: int
    applied: int
    synced: int
    stales: int
    reasons: dict[str, int]
    resyncs: int
    repeats: int
    lost_for: list[float]
    violations: list[str]


def _source(
    judge: Judge, channel: Channel, *, in_band: bool
) -> BookSource[Any, Any, Any]:
    async def ask(op: str, requests: Requests, key: Key) -> Key:
        number = requests.new_id()
        message = {"op": op, "id": number, "k": key, "snap": in_band}
        await requests.ask(number, json.dumps(message))
        return key

    async def snapshot(key: Key) -> dict[str, Any]:
        number = channel.new_id()
        message = json.dumps({"op": "book", "id": number, "k": key})
        ((value, error),) = await channel.call((number,), message, timeout=5)
        if error is not None:
            raise error
        found: dict[str, Any] = value
        return found

    return BookSource(
        subscribe=lambda requests, key: ask("subscribe", requests, key),
        unsubscribe=lambda requests, key: ask("unsubscribe", requests, key),
        is_snapshot=(lambda item: "b" in item) if in_band else None,
        snapshot=None if in_band else snapshot,
        make=lambda item: Copy(dict(item["b"]), item["g"], item["n"]),
        apply=judge.apply,
        position_of=lambda item: (item["g"], item["n"]),
        follows=judge.follows,
    )


class Run:
    """One run, from its server to its report."""

    def __init__(self, *, seed: int, seconds: float, keys: int, rate: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._keys = [f"k{n}" for n in range(keys)]
        self._rate = rate
        self._chance = random.Random(seed)
        self._judge = Judge()
        self._faults: collections.Counter[str] = collections.Counter()
        command = [sys.executable, "-m", "tests.feeds.sequences.server", "{port}"]
        self._server = ServerProcess([*command, str(seed), str(keys), str(rate)])

    async def run(self) -> Report:
        """Run it."""
        async with (
            self._server,
            FaultProxy(HOST, self._server.port) as proxy,
            Channel(self._connect(proxy), Wire(), early=8192) as channel,
        ):
            # Half of the snapshots come in band, half are asked for. Keys that are hurt
            # are even, so both halves have them.
            half = len(self._keys) // 2
            halves = self._keys[:half], self._keys[half:]
            all_books = [
                Books(channel, _source(self._judge, channel, in_band=in_band), keys)
                for in_band, keys in zip((True, False), halves, strict=True)
            ]
            reading = [asyncio.create_task(self._read(books)) for books in all_books]
            await self._break(proxy)
            proxy.heal()
            missing = await self._settled(channel, all_books)
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            return self._report(all_books, missing)

    def _connect(self, proxy: FaultProxy) -> Session:
        self._session = connect(
            proxy.url(),
            liveness=Liveness(ping_interval=1.0, ping_timeout=2.0),
            reconnect=Reconnect(wait=tenacity.wait_random(0.05, 0.3)),
        )
        return self._session

    async def _read(self, books: AsyncIterator[Any]) -> None:
        async for event in books:
            self._judge.note(event)

    async def _break(self, proxy: FaultProxy) -> None:
        """Break the link, and the server, until the time is over; each kind early."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        # Each kind once, then as it comes.
        kinds = list(dict.fromkeys(KINDS))
        while loop.time() < end:
            pause = self._chance.uniform(*FAULT_EVERY)
            await asyncio.sleep(min(pause, end - loop.time()))
            kind = kinds.pop() if kinds else self._chance.choice(KINDS)
            self._faults[kind] += 1
            if kind == "kill":
                await self._server.restart()
            elif kind == "reset":
                proxy.apply(Reset())
            else:
                for connection in proxy.connections[-1:]:
                    connection.apply(BlackHole())

    async def _settled(
        self, channel: Channel, all_books: list[Books[Any, Any, Any]]
    ) -> list[str]:
        """End the changes; return the keys whose books do not become the server's."""
        end = time.monotonic() + SETTLE
        truth: dict[str, Any] = {}
        while not truth and time.monotonic() < end:
            number = channel.new_id()
            message = json.dumps({"op": "settle", "id": number})
            ((value, _error),) = await channel.call((number,), message, timeout=10)
            truth = {} if value is None else value["books"]
        missing = self._differing(truth, all_books)
        while missing and time.monotonic() < end:
            await asyncio.sleep(0.05)
            missing = self._differing(truth, all_books)
        return missing

    def _differing(
        self, truth: dict[str, Any], all_books: list[Books[Any, Any, Any]]
    ) -> list[str]:
        copies = {
            key: book
            for books in all_books
            for key in self._keys
            if (book := books.get(key)) is not None
        }
        return [
            key
            for key in self._keys
            if key not in truth
            or key not in copies
            or copies[key].levels != truth[key]["b"]
        ]

    def _report(
        self, all_books: list[Books[Any, Any, Any]], missing: list[str]
    ) -> Report:
        judge = self._judge
        hurt = collections.Counter(e["how"] for e in self._server.entries("hurt"))
        drops = self._session.epoch - 1
        return Report(
            seed=self._seed,
            seconds=self._seconds,
            keys=len(self._keys),
            rate=self._rate,
            hurt=dict(hurt),
            faults=dict(self._faults),
            connections=drops + 1,
            applied=judge.applied,
            synced=judge.synced,
            stales=judge.stales.total(),
            reasons=dict(judge.reasons),
            resyncs=sum(b.resyncs(k) for b in all_books for k in self._keys),
            repeats=sum(b.repeats(k) for b in all_books for k in self._keys),
            lost_for=sorted(judge.lost_for),
            violations=self._violations(drops, missing),
        )

    def _violations(self, drops: int, missing: list[str]) -> list[str]:
        """What must not have happened."""
        judge = self._judge
        hurt = collections.Counter(
            e["key"] for e in self._server.entries("hurt") if e["how"] != "repeated"
        )
        found = [
            *(f"a wrong book was given out: {what}" for what in judge.wrong[:20]),
            *(f"{key} is not the server's at the end" for key in missing[:20]),
        ]
        for key in self._keys:
            if judge.hurts[key] and not hurt[key]:
                found.append(f"{key} was not hurt, and did not follow")
            if judge.stales[key] > drops + hurt[key]:
                found.append(f"{key} was lost more often than hurt")
        return found
