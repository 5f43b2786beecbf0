"""A name server that says nothing at all holds neither a program nor its end up."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import pytest

from benchmarks.reliability.network import SERVER, Network


pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("namespaces")]

#: Seconds that the C library waits for an answer (no more are taken).
PATIENCE: Final = 30

_PROGRAM: Final = """
import asyncio, json, threading, time
import resilient_ws, tenacity

async def main():
    session = resilient_ws.connect(
        "wss://feed.example.com/",
        wait_open=False,
        # Longer than the least time between two dials, which counts as well.
        timeouts=resilient_ws.Timeouts(open=0.3),
        reconnect=resilient_ws.Reconnect(wait=tenacity.wait_none()),
    )
    failed = []
    session.on(resilient_ws.AttemptFailed, failed.append)
    async with session:
        while len(failed) < 20:
            await asyncio.sleep(0.05)
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        waited = time.monotonic() - began
        threads = [t.name for t in threading.enumerate() if "look-up" in t.name]
    print(json.dumps([len(threads), waited, str(failed[-1].because)]))

asyncio.run(main())
"""


async def test_a_black_hole_in_place_of_a_name_server() -> None:
    async with Network() as network:
        network.client.resolve_with(SERVER)
        await network.server.cut("udp dport 53")
        began = time.monotonic()
        output = await network.client.run(
            *("env", f"RES_OPTIONS=timeout:{PATIENCE} attempts:1"),
            *(sys.executable, "-c", _PROGRAM),
        )
        took = time.monotonic() - began
    # Before it come the warnings that the log has of each failure.
    threads, waited, because = json.loads(output.splitlines()[-1])
    assert threads == 1
    assert "host name had not been resolved" in because
    # Bounds far below what the look-up takes, and far above what a busy machine does.
    assert waited < PATIENCE / 6
    assert took < PATIENCE * 2 / 3
