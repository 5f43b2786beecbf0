"""From the moment the server is back to the first message of a client that waited."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.speed.compare import Process
from benchmarks.speed.crowd import come_back


#: So many clients are measured at once, for each one waits by chance.
CLIENTS: Final = 100


def measure(*, quick: bool) -> list[dict[str, Any]]:
    return [
        one(name, 5 if quick else CLIENTS) for name in ("resilient_ws", "websockets")
    ]


def one(name: str, count: int) -> dict[str, Any]:
    with Process("crowd_server") as server:
        port = int(server.hear())
        with Process("holders", name, f"ws://127.0.0.1:{port}/") as holders:
            holders.heard()
            holders.ask(["grow", count])
            return {"client": name, **come_back(server, holders, count)}
