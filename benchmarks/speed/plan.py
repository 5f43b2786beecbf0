"""What is measured on the wire, with how many messages, and what has to come out."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.speed.clients import CLIENTS, US


if TYPE_CHECKING:
    from collections.abc import Iterator


KIB: Final = 1024
MIB: Final = 1024 * 1024
SIZES: Final = (32, 64, 256, KIB, 16 * KIB, MIB)
LINKS: Final = ("plain", "tls", "deflate")
LOOPS: Final = (
    "asyncio",
    *(("uvloop",) if importlib.util.find_spec("uvloop") else ()),
)
#: Those that are compared, and ways of using them that are measured once.
PEERS: Final = ("aiohttp", "websockets", "picows, queue", "picows, deque")
VARIANTS: Final = (
    "resilient_ws, with_interruptions",
    "resilient_ws, callback",
    "picows, callback",
)


@attrs.frozen(kw_only=True)
class Cell:
    """One comparison: the same messages for every client."""

    scenario: str
    loop: str
    size: int
    count: int
    kind: str = "text"
    link: str = "plain"
    clients: tuple[str, ...] = (US, *PEERS)
    rounds: int = 7

    @property
    def present(self) -> list[str]:
        """The clients that are installed and can take part."""
        return [
            name
            for name in self.clients
            if name in CLIENTS and (self.link != "deflate" or CLIENTS[name].compresses)
        ]

    def path(self, count: int) -> str:
        size = f"{self.kind}/{self.size}/{count}"
        match self.scenario:
            case "echo":
                path = "echo"
            case "drip":
                path = f"drip/{self.size}/{count}"
            case "feed":
                path = f"feed/{self.size}/{FEED_RATE}/{count}"
            case "send":
                path = f"sink/{size}"
            case "segment":
                path = f"segment/{size}"
            case _:
                path = f"blast/{size}"
        return f"{path}/deflate" if self.link == "deflate" else path

    def target(self, peer: str) -> float | None:
        """How many times our CPU the peer's has to be, at least."""
        if self.scenario == "echo" and peer == "aiohttp":
            return 1 / 1.05
        if self.scenario == "send" and peer == "aiohttp":
            return 1.0
        if self.scenario != "receive":
            return None
        if self.link != "plain":
            return 1.0 if peer == "aiohttp" else None
        return receive_target(peer, self.size)


def receive_target(peer: str, size: int) -> float | None:
    match peer:
        case "aiohttp":
            steps = {64: 2.0, 256: 1.5, KIB: 1.3, MIB: 1.0}
            return next(ratio for limit, ratio in steps.items() if size <= limit)
        case "websockets":
            return 4.0 if size <= KIB else None
        case "picows, queue":
            return 1.0 if size <= 64 else 0.85
        case _:
            return None


FEED_RATE: Final = 10_000


def cells(*, quick: bool) -> Iterator[Cell]:
    """Every comparison, in the order in which it is shown."""
    for cell in _full():
        if not quick:
            yield cell
        elif cell.size in {32, 64, 100, 16 * KIB} and cell.loop == LOOPS[-1]:
            # More messages than the inbox holds, so that reading pauses and goes on.
            count = min(cell.count, 2_000 if cell.size <= KIB else 100)
            yield attrs.evolve(cell, count=count, rounds=1)


def _full() -> Iterator[Cell]:
    for loop in LOOPS:
        for link in LINKS:
            for kind in ("text", "binary") if loop == "asyncio" else ("text",):
                for size in SIZES:
                    count = _count(size, link)
                    yield Cell(
                        scenario="receive",
                        loop=loop,
                        size=size,
                        count=count,
                        kind=kind,
                        link=link,
                        rounds=7 if link == "plain" else 5,
                    )
        for size in (64, KIB):
            yield Cell(
                scenario="receive",
                loop=loop,
                size=size,
                count=_count(size, "plain"),
                clients=(US, *VARIANTS),
            )
        yield Cell(scenario="segment", loop=loop, size=32, count=10_000)
        yield Cell(
            scenario="drip", loop=loop, size=100, count=10_000, kind="binary", rounds=3
        )
        for size in (64, KIB, 16 * KIB):
            yield Cell(scenario="echo", loop=loop, size=size, count=2_000, rounds=7)
        for link in LINKS:
            for size in (64, 256, KIB, 16 * KIB):
                count = _count(size, link) // 3
                yield Cell(
                    scenario="send",
                    loop=loop,
                    size=size,
                    count=count,
                    link=link,
                    clients=(US, *PEERS[:-1]),
                    rounds=7 if link == "plain" else 5,
                )


def _count(size: int, link: str) -> int:
    """How many messages are enough for a figure and no more: some 40 ms of ours."""
    large = {
        ("plain", 16 * KIB): 6_000,
        ("plain", MIB): 100,
        ("tls", 16 * KIB): 2_400,
        ("tls", MIB): 40,
        ("deflate", 16 * KIB): 900,
        ("deflate", MIB): 16,
    }
    small = 40_000 if link == "plain" or size < 256 else 12_000
    return large.get((link, size), small)


def feed_cells(*, quick: bool) -> list[Cell]:
    """The feed: a minute for each of the four."""
    seconds, rounds = (1, 1) if quick else (60, 1)
    return [
        Cell(
            scenario="feed",
            loop="asyncio",
            size=128,
            count=seconds * FEED_RATE,
            kind="binary",
            clients=(US, *PEERS[:-1]),
            rounds=rounds,
        )
    ]


def described(cell: Cell) -> dict[str, Any]:
    return {
        "scenario": cell.scenario,
        "loop": cell.loop,
        "link": cell.link,
        "kind": cell.kind,
        "size": cell.size,
        "count": cell.count,
    }
