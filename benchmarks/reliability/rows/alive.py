"""Links that are alive, whatever it looks like: none of them may be given up."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import PORT
from benchmarks.reliability.situation import (
    GRACE,
    NOTICED_WITHIN,
    PATIENCE,
    US,
    USUAL,
    Outcome,
    situation,
    within,
)


if TYPE_CHECKING:
    from benchmarks.reliability.situation import Client, Stage


#: Three times what makes a link dead.
_STALL: Final = 3 * (USUAL.ping_interval + USUAL.ping_timeout)
_BLOCK: Final = 3 * USUAL.ping_timeout
_FLOOD: Final = 150_000
_MIB: Final = 1024.0  # in KiB


def _kept_alive(client: Client, words: str, **figures: float | None) -> Outcome:
    drops = client.drops()
    return Outcome(
        kept=not drops,
        words=words if not drops else "**gave up the healthy link**",
        figures=figures,
        false_alarms=drops,
    )


@situation(
    "Interface down for 2 s (`ip link`)",
    "no drop, no message lost",
    server="websockets",
)
async def link_down_short(stage: Stage) -> Outcome:
    """TCP sends again what was lost: shorter than the timeouts it is no loss."""
    client = await stage.receiver()
    await stage.network.client.ip("link set wire0 down")
    await asyncio.sleep(2.0)
    risen = time.monotonic()
    await stage.network.client.ip("link set wire0 up")
    flowing = await client.after("messages", risen, PATIENCE)
    await asyncio.sleep(NOTICED_WITHIN)
    outcome = _kept_alive(client, "link kept, flowing again in {flowing}")
    missing = client.lines[-1]["missing"]
    return Outcome(
        kept=outcome.kept and not missing and flowing is not None,
        words=outcome.words if not missing else f"{outcome.words}, messages lost",
        figures={"flowing": flowing},
        false_alarms=outcome.false_alarms,
    )


@situation(
    "Slow uplink: 2 MB queued at 300 kB/s (tbf)",
    f"no drop, though a pong takes 6 s and `ping_timeout` is {USUAL.ping_timeout:g} s",
)
async def slow_uplink(stage: Stage) -> Outcome:
    """Our own bytes delay the ping; the server says nothing else."""
    client = await stage.talker()
    await stage.network.client.run(
        *("tc", "qdisc", "add", "dev", "wire0", "root", "tbf"),
        *("rate", "2400kbit", "burst", "16kb", "limit", "1mb"),
    )
    since = time.monotonic()
    await client.order("send", count=32, size=64_000)
    while len(stage.server.said("message", size=64_000)) < 32:
        # The 32nd comes after 7 s, if the link lasts.
        if client.drops() or time.monotonic() > since + PATIENCE:
            break
        await asyncio.sleep(0.1)
    arrived = len(stage.server.said("message", size=64_000))
    took = time.monotonic() - since
    await asyncio.sleep(GRACE)
    outcome = _kept_alive(client, "link kept")
    all_there = arrived == 32
    return Outcome(
        kept=outcome.kept and all_there,
        words=outcome.words
        + (", all there after {took}" if all_there else "; {arrived:d} of 32 arrived"),
        figures={"arrived": arrived, "took": took},
        false_alarms=outcome.false_alarms,
    )


@situation(
    f"Flood of {_FLOOD:,} messages, the consumer sleeps {_STALL:g} s",
    "no drop, no message lost, memory grows by less than 64 MiB (and the server is sent"
    " pongs meanwhile)",
    alone=True,
    rounds=1,
)
async def flood(stage: Stage) -> Outcome:
    """A server that sends as fast as it may, and a consumer that does not take."""
    client = await stage.receiver(
        f"/count?n={_FLOOD}&size=256", Settings(stall_after=1000, stall_for=_STALL)
    )
    stalled = await client.until("stalling", within=PATIENCE)
    assert stalled is not None
    taking = await client.until("taking", within=_STALL + PATIENCE)
    until = time.monotonic() if taking is None else taking["at"]
    deadline = until + 2 * PATIENCE
    while client.lines[-1]["last"] < _FLOOD and not client.drops():
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(USUAL.open_timeout)  # the next connection shows what is missing
    last = client.lines[-1]
    pongs = stage.server.said("pong", since=stalled["at"])
    heard = sum(line["at"] < until for line in pongs)
    outcome = _kept_alive(client, "link kept")
    complete = not last["missing"] and last["last"] >= _FLOOD
    figures = {
        "missing": float(last["missing"]),
        "grown": (last["peak_kib"] - stalled["peak_kib"]) / _MIB,
        "heard": float(heard),
    }
    return Outcome(
        kept=outcome.kept
        and complete
        and figures["grown"] < 64
        and (heard > 0 or stage.library != US),
        words=f"{outcome.words}; {{missing:d}} messages lost,"
        " {grown:MiB} more memory, {heard:d} pongs",
        figures=figures,
        false_alarms=outcome.false_alarms,
    )


def _longest_silence(stage: Stage, since: float, until: float) -> float:
    """For how long the server heard neither ping nor pong from the first connection."""
    heard: list[float] = [
        line["at"]
        for line in stage.server.said("ping", "pong", since=since, connection=1)
        if line["at"] < until
    ]
    return max(b - a for a, b in itertools.pairwise((since, *heard, until)))


@situation(
    f"Server that pings every 0.5 s, the consumer sleeps {_STALL:g} s,"
    ' `overflow="drop_oldest"`',
    "no drop, every ping answered within 1.5 s",
    rounds=1,
)
async def pings_answered(stage: Stage) -> Outcome:
    """For feeds that must never stall: the newest messages are worth more."""
    client = await stage.receiver(
        "/feed?n=1000000&every=0.001&size=1000&ping=0.5",
        Settings(stall_after=500, stall_for=_STALL, overflow="drop_oldest"),
    )
    stalled = await client.until("stalling", within=PATIENCE)
    assert stalled is not None
    taking = await client.until("taking", within=_STALL + PATIENCE)
    until = time.monotonic() if taking is None else taking["at"]
    silence = _longest_silence(stage, stalled["at"], until)
    await asyncio.sleep(USUAL.open_timeout)  # what was late to be seen is seen now
    outcome = _kept_alive(client, "link kept")
    return Outcome(
        kept=outcome.kept and within(silence, 1.5),
        words=f"{outcome.words}; longest without an answer {{silence}}",
        figures={"silence": silence},
        false_alarms=outcome.false_alarms,
    )


async def _ping_on_its_way(stage: Stage) -> None:
    """Wait until a ping lies in the socket of the server, which is frozen."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        sockets = await stage.network.server.sockets(f"( sport = :{PORT} )")
        if any(int(columns[0]) > 0 for columns in sockets):
            return
        await asyncio.sleep(0.01)
    raise RuntimeError("no ping came")


@situation(
    f"Event loop blocked for {_BLOCK:g} s, the pong in the kernel",
    "no drop (and `LoopLagged` reported)",
)
async def loop_blocked(stage: Stage) -> Outcome:
    """The pong's time has run out when the loop comes back, but the pong is there."""
    client = await stage.talker()
    stage.server.freeze()
    await _ping_on_its_way(stage)
    await client.order("block", seconds=_BLOCK)
    await client.until("blocking", within=PATIENCE)
    stage.server.thaw()
    await client.until("unblocked", within=_BLOCK + PATIENCE)
    await asyncio.sleep(NOTICED_WITHIN)
    lags = [line["by"] for line in client.said("lagged")]
    if not lags:
        outcome = _kept_alive(client, "link kept")
        return Outcome(
            kept=outcome.kept and stage.library != US,
            words=outcome.words,
            false_alarms=outcome.false_alarms,
        )
    return _kept_alive(client, "link kept, told that it was {lag} late", lag=max(lags))


@situation(
    f"Client frozen for {_BLOCK:g} s (SIGSTOP, SIGCONT), the pong in the kernel",
    "no drop",
)
async def client_frozen(stage: Stage) -> Outcome:
    """The same for the whole process: a laptop's lid, a debugger, a busy machine."""
    client = await stage.talker()
    stage.server.freeze()
    await _ping_on_its_way(stage)
    client.freeze()
    stage.server.thaw()
    await asyncio.sleep(_BLOCK)
    client.thaw()
    await asyncio.sleep(NOTICED_WITHIN)
    return _kept_alive(client, "link kept")
