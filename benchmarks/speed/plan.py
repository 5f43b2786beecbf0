"""What is measured on the wire, and with how many messages."""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.speed.clients import CLIENTS, PURE, US, without_twin
from benchmarks.speed.targets import KIB, MIB
from benchmarks.speed.traders import TRADERS


if TYPE_CHECKING:
    from collections.abc import Iterator


SIZES: Final = (32, 64, 256, KIB, 16 * KIB, MIB)
LINKS: Final = ("plain", "tls", "deflate")
LOOPS: Final = (
    "asyncio",
    *(("uvloop",) if importlib.util.find_spec("uvloop") else ()),
)
CONTESTANTS: Final = {**CLIENTS, **TRADERS}
#: Those that are compared, and ways of using them that are measured once.
PEERS: Final = ("aiohttp", "websockets", "picows, queue", "picows, deque")
VARIANTS: Final = (
    "resilient_ws, with_interruptions",
    "resilient_ws, callback",
    "picows, callback",
)
#: A program in C that reads the bytes and looks at none: nothing can cost less.
FLOOR: Final = "the floor"
FLOOR_SIZES: Final = (64, KIB, 16 * KIB, MIB)


@attrs.frozen(kw_only=True)
class Cell:
    """One comparison: the same messages for every client."""

    scenario: str
    loop: str
    size: int
    count: int
    kind: str = "text"
    link: str = "plain"
    clients: tuple[str, ...] = (US, PURE, *PEERS)
    rounds: int = 7

    @property
    def present(self) -> list[str]:
        """The clients that are installed and can take part."""
        return [
            name for name in self.clients if self._can_take_part(without_twin(name))
        ]

    def _can_take_part(self, name: str) -> bool:
        if name == FLOOR:
            return shutil.which("cc") is not None
        client = CONTESTANTS.get(name)
        return client is not None and (self.link != "deflate" or client.compresses)

    def path(self, count: int) -> str:
        size = f"{self.kind}/{self.size}/{count}"
        match self.scenario:
            case "echo":
                path = "echo"
            case "follow":
                path = f"follow/{count}"
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
                        clients=(US, PURE, *PEERS, *_floor(kind, link, size)),
                        rounds=7 if link == "plain" else 5,
                    )
        for size in (64, KIB):
            count = _count(size, "plain")
            yield Cell(
                scenario="receive",
                loop=loop,
                size=size,
                count=count,
                clients=(US, PURE, *VARIANTS),
            )
            yield Cell(scenario="batch", loop=loop, size=size, count=count)
        yield Cell(scenario="segment", loop=loop, size=32, count=10_000)
        yield Cell(
            scenario="drip",
            loop=loop,
            size=100,
            count=10_000,
            kind="binary",
            clients=(US, *PEERS),
            rounds=3,
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
                    clients=(US, PURE, *PEERS[:-1]),
                    rounds=7 if link == "plain" else 5,
                )


def _floor(kind: str, link: str, size: int) -> tuple[str, ...]:
    """The floor, where it is played: there is nothing to decode or to decrypt."""
    played = (kind, link) == ("text", "plain") and size in FLOOR_SIZES
    return (FLOOR,) if played else ()


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
