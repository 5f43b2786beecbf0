"""Links that die without a word: each must be noticed in time, and come back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.situation import (
    CLOSED_WITHIN,
    NOTICED_WITHIN,
    PATIENCE,
    Outcome,
    situation,
    within,
)


if TYPE_CHECKING:
    from benchmarks.reliability.network import Direction
    from benchmarks.reliability.situation import Client, Stage


_NOTICED: Final = f"noticed within {NOTICED_WITHIN:g} s"
_BLACK_HOLE: Final = f"{_NOTICED}; `close()` back within {CLOSED_WITHIN:g} s"


def _noticed(client: Client, since: float, seconds: float | None) -> bool:
    """In time, and not before there was anything to notice."""
    return within(seconds, NOTICED_WITHIN) and client.drops() == client.drops(since)


async def _black_hole(stage: Stage, direction: Direction) -> Outcome:
    watching, leaving = await asyncio.gather(stage.receiver(), stage.receiver())
    since = time.monotonic()
    await stage.network.drop(direction)
    closed, noticed = await asyncio.gather(
        leaving.leave(), watching.after("dropped", since, PATIENCE)
    )
    return Outcome(
        kept=_noticed(watching, since, noticed) and within(closed, CLOSED_WITHIN),
        words="noticed after {noticed}, closed in {closed}",
        figures={"noticed": noticed, "closed": closed},
    )


@situation("Black hole, inbound (nft)", _BLACK_HOLE)
async def black_hole_inbound(stage: Stage) -> Outcome:
    """What the server sends vanishes."""
    return await _black_hole(stage, "inbound")


@situation("Black hole, outbound (nft)", _BLACK_HOLE, server="websockets")
async def black_hole_outbound(stage: Stage) -> Outcome:
    """What the client sends vanishes; what the server sends no more is acknowledged."""
    return await _black_hole(stage, "outbound")


@situation("Black hole, both directions (nft)", _BLACK_HOLE, server="aiohttp")
async def black_hole_both(stage: Stage) -> Outcome:
    """Everything vanishes."""
    return await _black_hole(stage, "both")
