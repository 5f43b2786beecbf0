"""What a row says of dials is what was on the wire, and is counted right."""

from __future__ import annotations

import asyncio
import sys

import pytest

from benchmarks.reliability.network import PORT, SERVER, Host, Network
from benchmarks.reliability.program import Line, Program
from benchmarks.reliability.rows.storm import Return, peak
from benchmarks.reliability.situation import Stage


pytestmark = pytest.mark.wire

_DIALS_THRICE = f"""
import socket
for _ in range(3):
    print(socket.socket().connect_ex(("{SERVER}", {PORT})))
"""


@pytest.mark.usefixtures("namespaces")
async def test_a_dial_is_seen_where_nobody_listens() -> None:
    words = (sys.executable, "-m", "benchmarks.reliability.dials", str(PORT))
    async with Network() as network:
        witness = Program(network.server, *words, starting=asyncio.Semaphore())
        async with witness:
            [ready] = witness.said("ready")
            await network.client.run(sys.executable, "-c", _DIALS_THRICE)
            async with asyncio.timeout(10):
                while len(witness.said("dial")) < 3:
                    await witness.until("dial", within=0.1, since=ready["at"] + 1e9)
        dials = witness.said("dial")
    assert len(dials) == 3
    at = [ready["at"], *(line["at"] for line in dials)]
    assert at == sorted(at)


@pytest.mark.parametrize(
    ("stamps", "most"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([5.0], 1, id="one"),
        pytest.param([0.0, 0.9, 1.8, 2.7], 2, id="apart"),
        pytest.param([0.0, 1.0, 2.0], 1, id="a second is over when it is"),
        pytest.param([9.0, 0.0, 9.5, 9.9, 10.0], 3, id="in any order"),
    ],
)
def test_the_most_in_any_second(stamps: list[float], most: int) -> None:
    assert peak(stamps) == most


def _open(at: float, connection: int, path: str) -> Line:
    return {"event": "open", "at": at, "connection": connection, "path": path}


def test_who_comes_twice_is_found() -> None:
    stage = Stage("resilient_ws", server="node")
    stage.server = Program(Host("nowhere"), starting=asyncio.Semaphore())
    stage.server.lines = [
        {"event": "ready", "at": 1.0},
        _open(2.0, 1, "/before"),
        {"event": "ready", "at": 10.0},
        _open(11.0, 1, "/again"),
        {"event": "close", "at": 12.0, "connection": 1},
        _open(13.0, 2, "/again"),
        _open(14.0, 3, "/twice"),
        _open(15.0, 4, "/twice"),
    ]
    back = Return(stage)
    assert back.opens() == {"/again": 1.0, "/twice": 4.0}
    assert back.doubled() == 1
