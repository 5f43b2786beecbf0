"""What is made in namespaces is gone afterwards, whatever happened."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import sys
import time

import pytest

from benchmarks.reliability.network import ROOT, SERVER, Network, command, sweep
from benchmarks.reliability.situation import Stage
from tests.servers.process import interruptible


pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("namespaces")]


_FREEZES_AND_TELLS = """
import asyncio
from benchmarks.reliability.network import SERVER
from benchmarks.reliability.situation import Stage

async def main():
    async with Stage("resilient_ws", server="node") as stage:
        await stage.name_server(SERVER)
        client = await stage.receiver()
        stage.server.freeze()
        print(stage.server.pid, client.pid, stage.names.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def _namespaces() -> set[str]:
    return {
        line.split()[0] for line in (await command("ip", "netns", "list")).splitlines()
    }


async def _namespaces_of(pid: int) -> list[str]:
    return [name for name in await _namespaces() if name.startswith(f"rel{pid}-")]


def _alive(pid: int) -> bool:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # Dead, and not reaped by whoever inherited it.
    return stat.rpartition(")")[2].split()[0] != "Z"


async def _gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while left := [pid for pid in pids if _alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        await asyncio.sleep(0.01)


def _has_resolver(name: str) -> bool:
    return pathlib.Path("/etc/netns", name).exists()


async def _break_down(network: Network) -> None:
    async with network:
        network.client.resolve_with(SERVER)
        assert network.client.name in await _namespaces()
        assert _has_resolver(network.client.name)
        raise ZeroDivisionError


async def test_nothing_is_left_after_a_failure() -> None:
    network = Network(routed=True)
    with pytest.raises(ZeroDivisionError):
        await _break_down(network)
    assert not await _namespaces_of(os.getpid())
    assert not _has_resolver(network.client.name)


async def test_programs_end_with_the_stage() -> None:
    async with Stage("resilient_ws", server="websockets") as stage:
        client = await stage.receiver()
        pids = [stage.server.pid, client.pid]
        # Such as a play that broke down leaves it.
        stage.server.freeze()
        assert all(_alive(pid) for pid in pids)
    assert not any(_alive(pid) for pid in pids)


async def test_an_interrupted_command_leaves_nothing() -> None:
    with interruptible():
        runner = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.reliability"),
            *("--library", "resilient_ws", "--only", "Black hole"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
        )
    deadline = time.monotonic() + 20
    while len(await _namespaces_of(runner.pid)) < 10:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    runner.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        await runner.wait()
    assert not await _namespaces_of(runner.pid)


async def test_programs_die_with_whoever_started_them() -> None:
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _FREEZES_AND_TELLS),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert runner.stdout is not None
    pids = [int(word) for word in (await runner.stdout.readline()).split()]
    assert len(pids) == 3
    runner.kill()
    await runner.wait()
    await _gone(pids)
    await sweep()
    assert not await _namespaces_of(runner.pid)


async def test_sweeps_what_a_killed_run_left_and_nothing_else() -> None:
    async with Network() as ours:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await process.wait()
        left, foreign = f"rel{process.pid}-1c", f"other{os.getpid()}"
        await command("ip", "netns", "add", left)
        await command("ip", "netns", "add", foreign)
        try:
            await sweep()
            found = await _namespaces()
        finally:
            await command("ip", "netns", "del", foreign)
        assert left not in found
        assert {ours.client.name, foreign} <= found
