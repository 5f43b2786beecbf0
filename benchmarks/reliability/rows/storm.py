"""A thousand clients in one process, and a server that is gone for a while.

A dial is a SYN that came to the server's machine, with the kernel's stamp of its
arrival; who is back, and how often, says the server.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import PORT
from benchmarks.reliability.situation import CLIENTS, US, Outcome, situation


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.reliability.situation import Stage


_CLIENTS: Final = 1000
_GONE_FOR: Final = 30.0
#: The longest pause by default is 60 s here and 90 s elsewhere.
_BACK_WITHIN: Final = 65.0
_PATIENCE: Final = 120.0
#: A tenth of them in one second is a herd no more.
_AT_MOST: Final = _CLIENTS // 10
_LIMIT: Final = 50
#: For as long it is watched whether anybody comes twice.
_WATCHED_FOR: Final = 3.0
_SINK: Final = "/sink"

_DEFAULTS: Final = Settings(
    ping_interval=20.0,
    ping_timeout=20.0,
    open_timeout=10.0,
    default_backoff=True,
    clients=_CLIENTS,
)
_THOUSAND: Final = (
    f"{_CLIENTS:,} clients in one process, the server gone for {_GONE_FOR:g} s"
)
_ALL_BACK: Final = f"all back within {_BACK_WITHIN:g} s, none twice"


async def _until(condition: Callable[[], bool], within: float) -> bool:
    """Look now and then: to look at every line of a thousand clients takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - what is said comes from a process
                await asyncio.sleep(0.25)
    return condition()


def peak(stamps: Iterable[float]) -> int:
    """The most of them in any one second."""
    within: collections.deque[float] = collections.deque()
    peak = 0
    for at in sorted(stamps):
        within.append(at)
        while within[0] <= at - 1.0:
            within.popleft()
        peak = max(peak, len(within))
    return peak


class Return:
    """What a server sees of its clients, from its start on."""

    def __init__(self, stage: Stage) -> None:
        self._server = stage.server
        self.since = stage.server.said("ready")[-1]["at"]

    def opens(self) -> dict[str, float]:
        """When each client was back first, by its path."""
        first: dict[str, float] = {}
        for line in self._server.said("open", since=self.since):
            first.setdefault(line["path"], line["at"] - self.since)
        return first

    def all_are_there(self) -> bool:
        """Whether each client has come."""
        return len(self.opens()) == _CLIENTS

    def doubled(self) -> int:
        """How many clients ever had two connections at one time."""
        paths: dict[int, str] = {}
        open_now: collections.Counter[str] = collections.Counter()
        twice: set[str] = set()
        for line in self._server.said("open", "close", since=self.since):
            if line["event"] == "close":
                open_now[paths[line["connection"]]] -= 1
                continue
            path = paths[line["connection"]] = line["path"]
            open_now[path] += 1
            if open_now[path] > 1:
                twice.add(path)
        return len(twice)


async def _gone_and_back(stage: Stage, settings: Settings) -> Outcome:
    client = await stage.client(_SINK, settings)
    if not await _until(Return(stage).all_are_there, _PATIENCE):
        raise RuntimeError(f"{len(Return(stage).opens())} came: {client.complaint}")
    witness = stage.program(
        stage.network.server,
        *(sys.executable, "-m", "benchmarks.reliability.dials", str(PORT)),
    )
    async with witness:
        killed = time.monotonic()
        await stage.server.kill()
        await asyncio.sleep(killed + _GONE_FOR - time.monotonic())
        await stage.server.start()
        back = Return(stage)
        await _until(back.all_are_there, _PATIENCE)
        await asyncio.sleep(_WATCHED_FOR)
    dials = [line["at"] for line in witness.said("dial")]
    return _judged(dials, back, settings.dials_per_second)


def _judged(
    dials: Sequence[float], back: Return, dials_per_second: int | None
) -> Outcome:
    """What is promised of the pace: always, or without a limit once it is back."""
    came = back.opens().values()
    twice = back.doubled()
    gone = peak(at for at in dials if at < back.since)
    there = peak(at for at in dials if at >= back.since)
    bound = dials_per_second or _AT_MOST
    pace = there <= bound and (dials_per_second is None or gone <= bound)
    return Outcome(
        kept=(
            pace and not twice and len(came) == _CLIENTS and max(came) <= _BACK_WITHIN
        ),
        words=(
            "at most {gone:d} dials a second while it is gone, {there:d} once it is"
            " back; {came:d} are back after {first} to {last}, {twice:d} twice"
        ),
        figures={
            "gone": gone,
            "there": there,
            "came": len(came),
            "first": min(came, default=None),
            "last": max(came, default=None),
            "twice": twice,
        },
    )


@situation(
    f"{_THOUSAND}, default settings",
    f"{_ALL_BACK}; once it is back at most {_AT_MOST} dials in any second",
    alone=True,
    rounds=1,
)
async def default_settings(stage: Stage) -> Outcome:
    """Whether they come back as a herd."""
    return await _gone_and_back(stage, _DEFAULTS)


@situation(
    f"{_THOUSAND}, `ConnectLimiter(rate={_LIMIT}, per=1)` for all",
    f"{_ALL_BACK}; at most {_LIMIT} dials in any second, all the time",
    alone=True,
    rounds=1,
    without={
        library: "it has no limit that connections share"
        for library in CLIENTS
        if library != US
    },
)
async def shared_limit(stage: Stage) -> Outcome:
    """A server that bans who dials too often."""
    settings = dataclasses.replace(_DEFAULTS, dials_per_second=_LIMIT)
    return await _gone_and_back(stage, settings)
