"""What 1 to 5,000 idle connections cost, and how they come back when all are lost."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.speed.compare import Process
from benchmarks.speed.holders import HOLD, PING


COUNTS: Final = (1, 100, 1_000, 5_000)
#: As many pings as a minute has at the interval that is the default of all, 20 s.
PINGS: Final = 3
#: Seconds that the server is gone, and that all have to come back.
OUTAGE: Final = 2.0
PATIENCE: Final = 90.0


def measure(*, quick: bool) -> list[dict[str, Any]]:
    counts, pings = ((1, 20), 1) if quick else (COUNTS, PINGS)
    return [one(name, counts, pings) for name in HOLD]


def one(name: str, counts: tuple[int, ...], pings: int) -> dict[str, Any]:
    with Process("crowd_server") as server:
        port = int(server.hear())
        with Process("holders", name, f"ws://127.0.0.1:{port}/") as holders:
            empty = holders.heard()["memory"]
            rows = [held(holders, count, empty, pings) for count in counts]
            row = {"client": name, "empty": empty, "rows": rows}
            if name != "aiohttp":
                row["return"] = come_back(server, holders, counts[-1])
            return row


def held(holders: Process, count: int, empty: int, pings: int) -> dict[str, Any]:
    grown = holders.ask(["grow", count])
    assert grown["up"] == count, f"{grown['up']} of {count} connections are open"
    rested = holders.ask(["rest", pings * PING])
    return {
        "count": count,
        # After the pings: what they leave behind is part of it.
        "memory": (rested["memory"] - empty) / count,
        "cpu_a_minute": rested["cpu"],
    }


def come_back(server: Process, holders: Process, count: int) -> dict[str, Any]:
    """Reset all, be gone for a while, and see when each has a message again."""
    holders.ask(["forget"])
    server.say("drop")
    server.hear()
    time.sleep(OUTAGE)
    server.say("listen")
    began = float(server.hear())
    heard = holders.ask(["back", PATIENCE])["heard"]
    after = [moment - began for moment in heard]
    return {
        "count": count,
        "back": len(after),
        "first": after[0] if after else None,
        "half": after[len(after) // 2] if after else None,
        "last": after[-1] if len(after) >= count else None,
    }
