"""A thousand subscriptions come back after a drop, at the pace that ``rate`` sets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws import ConnectionOpened
from resilient_ws.testing import BlackHole, Reset
from tests.feeds.endurance.crowd import PING, Crowd, Follower, crowd
from tests.feeds.endurance.page import spread, table


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Awaitable, Callable


#: Seconds in which all must stand, beside those that the pace takes.
BOUND: Final = 2.0
#: Seconds between two looks at all of them.
LOOK: Final = 0.005
#: Seconds that a fault may take to be noticed, and a killed server to come back.
NOTICED: Final = 10.0


@attrs.define
class Seen:
    """What a rate came to.

    Attributes:
        rate: Subscriptions a second.
        back: By fault, the seconds from the open connection to the last subscription
            that is live.
        whole: By fault, the seconds from the fault to that.
        most: Subscriptions that the server got in one second.
    """

    rate: float | None
    back: dict[str, list[float]] = attrs.Factory(dict)
    whole: dict[str, list[float]] = attrs.Factory(dict)
    most: int = 0
    items: int = 0
    fetches: int = 0
    faults: list[str] = attrs.Factory(list)

    def bound(self, count: int) -> float:
        """Seconds in which all must be back."""
        return BOUND + (count / self.rate if self.rate is not None else 0.0)


@attrs.define
class Watch:
    """Looks when all are live.

    Attributes:
        since: When they last became so.
        opened: When a connection last opened.
    """

    crowded: Crowd
    live: bool = False
    since: float = 0.0
    opened: float = 0.0

    async def run(self) -> None:
        """Look, until cancelled."""
        self.crowded.session.on(ConnectionOpened, self._note_open)
        while True:
            live = all(follower.is_live for follower in self.crowded.followers)
            if live and not self.live:
                self.since = time.monotonic()
            self.live = live
            await asyncio.sleep(LOOK)

    def _note_open(self, _: ConnectionOpened) -> None:
        self.opened = time.monotonic()

    async def until_live(self, epoch: int, within: float) -> None:
        """Wait until all are live on a connection after this one."""
        async with asyncio.timeout(within):
            while not self._is_back(epoch):  # noqa: ASYNC110 - it looks anyway
                await asyncio.sleep(LOOK)

    def _is_back(self, epoch: int) -> bool:
        is_new = self.crowded.session.epoch > epoch and self.since > self.opened
        return self.live and is_new


async def cut(crowded: Crowd) -> None:
    """Reset the connection."""
    crowded.proxy.apply(Reset())


async def kill(crowded: Crowd) -> None:
    """Kill the server, and start it again."""
    await crowded.server.restart()


async def black_hole(crowded: Crowd) -> None:
    """Let nothing pass on this connection any more, and tell nobody."""
    # On the next one everything passes.
    crowded.proxy.connections[-1].apply(BlackHole())


FAULTS: Final[dict[str, Callable[[Crowd], Awaitable[None]]]] = {
    "cut": cut,
    "`kill -9`": kill,
    "black hole": black_hole,
}


async def come_back(
    ledger: pathlib.Path,
    *,
    count: int,
    rate: float | None,
    drops: int,
    items: float = 1.0,
    settle: float = 1.0,
) -> Seen:
    """Do each fault a few times to many subscriptions."""
    followers = [Follower(f"t{number}") for number in range(count)]
    seen = Seen(rate)
    async with crowd(ledger, followers, items=items, rate=rate) as crowded:
        watch = Watch(crowded)
        watching = asyncio.create_task(watch.run())
        patience = seen.bound(count) + NOTICED
        await watch.until_live(0, patience)
        for _ in range(drops):
            for name, hurt in FAULTS.items():
                await asyncio.sleep(settle)
                before, began = crowded.session.epoch, time.monotonic()
                await hurt(crowded)
                await watch.until_live(before, patience)
                seen.back.setdefault(name, []).append(watch.since - watch.opened)
                seen.whole.setdefault(name, []).append(watch.since - began)
        await asyncio.sleep(settle)
        seen.faults += crowded.faults
        watching.cancel()
    _judge(seen, count, _times(ledger))
    seen.items = sum(follower.items for follower in followers)
    seen.fetches = sum(follower.fetches for follower in followers)
    return seen


def _judge(seen: Seen, count: int, asked: list[float]) -> None:
    bound, rate = seen.bound(count), seen.rate
    for name, taken in seen.back.items():
        if max(taken) > bound:
            took = f"{max(taken):.2f} s after a {name} at a rate of {rate}"
            seen.faults.append(f"the last was back {took}, bound {bound:.2f} s")
    if rate is None:
        return
    first = 0
    for last, moment in enumerate(asked):
        while asked[first] <= moment - 1:
            first += 1
        seen.most = max(seen.most, last - first + 1)
    # A tenth of a second may go as a burst; and the server reads in bursts.
    if seen.most > rate * 1.2 + 1:
        seen.faults.append(f"{seen.most} subscriptions in a second, at most {rate:g}")


def _times(ledger: pathlib.Path) -> list[float]:
    words = [line.split() for line in ledger.read_text().splitlines()]
    return sorted(float(line[2]) for line in words if line[0] == "sub")


_HOW: Final = """\
{count:,} subscriptions of one session, each of a topic that counts up once a second,
whatever happens to the link or the server. The link is reset, the server killed with
`kill -9` and started again, the link black-holed: {drops} times each, at each `rate`. A
subscription is back when it is live again, with all that it missed fetched. *Back* is
counted from the connection that is open again, to the last of them; *whole* from the
fault, with what it takes to notice it (pings: {interval:g} s + {timeout:g} s) and to
start the server. In seconds: median (shortest to longest).

A promise is broken when the last is back later than {bound:g} s beside what the pace
takes; when the server gets more subscriptions in a second than `rate` and its burst
allow; when an item is missing, out of order or twice.
"""


async def run(folder: pathlib.Path) -> tuple[str, list[str]]:
    """Run at full size; return what was seen, and what was wrong."""
    count, drops = 1000, 3
    rates = (None, 1000.0, 500.0, 250.0)
    taken = [
        await come_back(folder / f"{rate}", count=count, rate=rate, drops=drops)
        for rate in rates
    ]
    interval, timeout = PING
    how = _HOW.format(
        count=count, drops=drops, interval=interval, timeout=timeout, bound=BOUND
    )
    head = ["`rate`", "fault", "back", "bound", "whole"]
    rows = [
        (
            "none" if seen.rate is None else f"{seen.rate:g}",
            name,
            spread(seen.back[name]),
            f"{seen.bound(count):.1f}",
            spread(seen.whole[name]),
        )
        for seen in taken
        for name in seen.back
    ]
    most = ", ".join(f"{s.most} at {s.rate:g}" for s in taken if s.rate is not None)
    text = f"{how}\n{table(head, rows)}\n\nThe most in one second: {most}. " + (
        f"{sum(seen.items for seen in taken):,} items were read, for which "
        f"{sum(seen.fetches for seen in taken):,} holes were fetched; "
        "none is missing, out of order or twice."
        if not any(seen.faults for seen in taken)
        else ""
    )
    return text, [fault for seen in taken for fault in seen.faults]
