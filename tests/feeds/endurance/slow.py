"""One consumer of a hundred is slow: the others are undisturbed, and it loses nothing."""

from __future__ import annotations

import asyncio
import collections
import math
import statistics
from typing import TYPE_CHECKING, Final, Literal

import attrs

from tests.feeds.endurance.crowd import Crowd, Follower, crowd
from tests.feeds.endurance.page import facts, mebibytes, memory, spread, table


if TYPE_CHECKING:
    import pathlib


Variant = Literal["none", "refill", "gap"]
#: What a delay may grow by, beside twice: other processes may have the core.
NOISE: Final = 0.005
#: KiB by which the process may grow after the first run.
GROWTH: Final = 4096
#: Seconds in which the slow one, quick at last, must be up to date.
CAUGHT_UP: Final = 10.0


class Delays:
    """Delays, to two figures each: many take no memory."""

    def __init__(self) -> None:
        self._counts: collections.Counter[float] = collections.Counter()

    def note(self, seconds: float) -> None:
        """Count one."""
        digits = 1 - math.floor(math.log10(max(seconds, 1e-6)))
        self._counts[round(seconds, digits)] += 1

    def at(self, share: float) -> float:
        """The delay within which a share of them came."""
        left = share * self._counts.total()
        for delay, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return delay
        return 0.0


@attrs.define
class Seen:
    """What one run came to; the delays are those of the quick."""

    variant: Variant
    least: int
    most: int
    #: At most, of any quick consumer.
    waited: int
    p50: float
    p99: float
    memory: int
    slow: Follower | None
    behind: int
    faults: list[str]


async def one_is_slow(
    ledger: pathlib.Path,
    *,
    variant: Variant,
    count: int,
    items: float,
    seconds: float,
    buffer: int,
) -> Seen:
    """Let a hundred follow, one of them at a tenth of the speed, or none."""
    delays = Delays()
    quick = [Follower(f"t{number}", late=delays.note) for number in range(1, count)]
    slow = None if variant == "none" else Follower("t0", overflow=variant)
    if slow is not None:
        slow.pause = 10 / items
    followers = quick if slow is None else [slow, *quick]
    async with crowd(
        ledger, followers, items=items, buffer=buffer, direct=True
    ) as crowded:
        await asyncio.sleep(seconds)
        now = memory()
        lengths = [follower.items for follower in quick]
        behind = 0 if slow is None else (quick[0].last or 0) - (slow.last or 0)
        faults = [] if slow is None else await _catch_up(slow, quick)
        faults += crowded.faults
        faults += _undisturbed(crowded, quick, items)
    if slow is not None:
        faults += _bounded(slow, buffer)
    return Seen(
        variant=variant,
        least=min(lengths),
        most=max(lengths),
        waited=max(follower.most_waiting for follower in quick),
        p50=delays.at(0.5),
        p99=delays.at(0.99),
        memory=now,
        slow=slow,
        behind=behind,
        faults=faults,
    )


async def _catch_up(slow: Follower, quick: list[Follower]) -> list[str]:
    """Let the slow one be quick: it gets all that it was behind."""
    slow.pause = 0.0
    newest = max(follower.last or 0 for follower in quick)
    try:
        async with asyncio.timeout(CAUGHT_UP):
            while (slow.last or 0) < newest:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
    except TimeoutError:
        return [f"the slow one came to {slow.last}, not to {newest}"]
    return []


def _undisturbed(crowded: Crowd, quick: list[Follower], items: float) -> list[str]:
    faults = []
    if any(follower.fetches or follower.named for follower in quick):
        faults.append("a quick one had a hole")
    lengths = [follower.items for follower in quick]
    if max(lengths) - min(lengths) > items:
        faults.append(f"a quick one was late: {min(lengths)} to {max(lengths)} items")
    if crowded.session.epoch != 1:
        faults.append("the connection was lost")
    return faults


def _bounded(slow: Follower, buffer: int) -> list[str]:
    faults = []
    if not (slow.fetches if slow.overflow == "refill" else slow.named):
        faults.append("the slow one was never behind")
    if slow.overflow == "refill" and slow.named:
        faults.append(f"{slow.named} items of the slow one were not fetched")
    if slow.most_held > buffer + 3 or slow.most_waiting > buffer + 1:
        faults.append(f"the slow one held {slow.most_held}, {slow.most_waiting} waited")
    return faults


_HOW: Final = """\
{quick} consumers follow topics of {items:g} items a second each on one session, with
buffers of {buffer}, for {seconds:g} s. They run by themselves, and beside one that takes
a tenth of its items: with `overflow="refill"`, and with `overflow="gap"`. The three take
turns, {rounds} times. In the end the slow one reads as fast as the others, until it has
caught up. The delay is that of the quick, from just before the server sends an item to
the consumer that has it; in ms: median (smallest to largest) of the runs.

A promise is broken when a quick one misses an item, has to fetch one, or is a second
behind another; when the slow one misses an item that no gap names, or does not catch up;
when more than its buffer is held for it; when the 99th of 100 delays of the quick is more
than twice as long beside it (and {noise:g} ms); when the process grows by more than
{growth:g} MiB after the first run.
"""


def _judge(taken: list[Seen]) -> list[str]:
    faults = [f"{seen.variant}: {fault}" for seen in taken for fault in seen.faults]
    alone = statistics.median(s.p99 for s in taken if s.variant == "none")
    for variant in ("refill", "gap"):
        beside = statistics.median(s.p99 for s in taken if s.variant == variant)
        if beside > 2 * alone + NOISE:
            faults.append(f"{variant}: {beside:.4f} s late, {alone:.4f} s alone")
    if taken[-1].memory - taken[0].memory > GROWTH:
        faults.append(f"the memory grew: {[seen.memory for seen in taken]} KiB")
    return faults


def _report(taken: list[Seen]) -> str:
    names = {"none": "99 quick alone", "refill": "with `refill`", "gap": "with `gap`"}
    rows = []
    for variant, name in names.items():
        runs = [seen for seen in taken if seen.variant == variant]
        least, most = min(s.least for s in runs), max(s.most for s in runs)
        p50, p99 = ([getattr(s, p) * 1000 for s in runs] for p in ("p50", "p99"))
        waited = max(s.waited for s in runs)
        rows.append((name, f"{least} to {most}", waited, spread(p50), spread(p99)))
    head = ["run", "items of each", "waited at most", "delay, median", "delay, 99th"]
    slow = [(seen.slow, seen.behind) for seen in taken if seen.slow is not None]
    figures: list[tuple[str, object]] = []
    for mode, done in (("refill", "fetches"), ("gap", "named")):
        ones = [(f, behind) for f, behind in slow if f.overflow == mode]
        counts = ", ".join(str(getattr(f, done)) for f, _ in ones)
        what = "fetches" if mode == "refill" else "items named by gaps"
        behind = ", ".join(str(behind) for _, behind in ones)
        held = max(f.most_held for f, _ in ones)
        figures += [
            (f"the slow one, `{mode}`: items behind when it became quick", behind),
            (f"the slow one, `{mode}`: {what}", counts),
            (f"the slow one, `{mode}`: held beside its buffer, at most", held),
        ]
    used = mebibytes([seen.memory for seen in taken])
    figures.append(("resident memory at the end of each run, MiB", used))
    return f"{table(head, rows)}\n\n{facts(figures)}"


async def run(folder: pathlib.Path) -> tuple[str, list[str]]:
    """Run at full size; return what was seen, and what was wrong."""
    items, seconds, buffer, rounds = 40.0, 18.0, 64, 3
    variants: tuple[Variant, ...] = ("none", "refill", "gap")
    taken = [
        await one_is_slow(
            folder / f"{round_}-{variant}",
            variant=variant,
            count=100,
            items=items,
            seconds=seconds,
            buffer=buffer,
        )
        for round_ in range(rounds)
        for variant in variants
    ]
    how = _HOW.format(
        quick=99,
        items=items,
        buffer=buffer,
        seconds=seconds,
        rounds=rounds,
        noise=NOISE * 1000,
        growth=GROWTH / 1024,
    )
    return f"{how}\n{_report(taken)}", _judge(taken)
