"""What has to come out: how many times our CPU, and our time, a peer has to take.

The compiled part and its pure twin have targets of their own, those of a release: a
target that is missed stands first on the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.speed.clients import PURE, US


if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.speed.plan import Cell

KIB: Final = 1024
MIB: Final = 1024 * 1024

#: How many times what ours costs, by the largest size that it is wanted for.
Steps = dict[int, float]

#: Receiving plain messages, for each twin and peer.
RECEIVE: Final[Mapping[str, Mapping[str, Steps]]] = {
    US: {
        "aiohttp": {64: 3.8, 256: 1.5, KIB: 1.3, MIB: 1.0},
        "websockets": {KIB: 4.0, 16 * KIB: 0.0, MIB: 1.0},
        "picows, queue": {64: 2.5, KIB: 1.9, 16 * KIB: 0.95, MIB: 1.0},
        "picows, deque": {16 * KIB: 0.0, MIB: 1.0},
    },
    PURE: {
        "aiohttp": {64: 2.0, 256: 1.5, KIB: 1.3, MIB: 1.0},
        "websockets": {KIB: 4.0},
        "picows, queue": {KIB: 1.0, MIB: 0.9},
    },
}
#: Taking all that is there at once, beside aiohttp, which has only one at a time.
BATCH: Final[Mapping[str, Steps]] = {US: {64: 8.0}, PURE: {64: 3.3}}
#: A round trip beside aiohttp, in CPU and in time.
ECHO_CPU: Final[Mapping[str, float]] = {US: 0.97, PURE: 0.95}
ECHO_TIME: Final = 1.0


def cpu_target(cell: Cell, ours: str, peer: str) -> float | None:
    """Return how many times our CPU the peer's has to be, at least."""
    match cell.scenario, peer:
        case "receive", _ if cell.link == "plain":
            return _step(RECEIVE[ours].get(peer, {}), cell.size)
        case (("receive" | "send"), "aiohttp"):
            return 1.0
        case "batch", "aiohttp":
            return _step(BATCH[ours], cell.size)
        case "echo", "aiohttp":
            return ECHO_CPU[ours]
        case _:
            return None


def time_target(cell: Cell, peer: str) -> float | None:
    """Return how many times our time the peer's has to be, at least."""
    return ECHO_TIME if (cell.scenario, peer) == ("echo", "aiohttp") else None


def _step(steps: Steps, size: int) -> float | None:
    """Return the target of the first step that is as large; zero stands for none."""
    found = next((ratio for limit, ratio in steps.items() if size <= limit), 0.0)
    return found or None
