"""What is made in namespaces is gone afterwards, whatever happened."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from benchmarks.reliability.network import SERVER, Network, command, sweep
from benchmarks.reliability.situation import Stage


pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("namespaces")]


async def _namespaces() -> set[str]:
    return {
        line.split()[0] for line in (await command("ip", "netns", "list")).splitlines()
    }


async def test_nothing_is_left_after_a_failure() -> None:
    network = Network(routed=True)
    names = {network.client.name, network.server.name}
    with pytest.raises(ZeroDivisionError):
        async with network:
            network.client.resolve_with(SERVER)
            assert names <= await _namespaces()
            1 / 0  # noqa: B018
    assert not names & await _namespaces()
    assert not pathlib.Path("/etc/netns", network.client.name).exists()


async def test_programs_end_with_the_stage() -> None:
    async with Stage("resilient_ws", server="websockets") as stage:
        client = await stage.receiver()
        pids = [stage.server.pid, client.pid]
        # Such as a play that broke down leaves it.
        stage.server.freeze()
        assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)


async def test_sweeps_what_a_killed_run_left_and_nothing_else() -> None:
    async with Network() as ours:
        process = subprocess.Popen([sys.executable, "-c", ""])
        dead = f"rel{process.pid}-1c"
        process.wait()
        await command("ip", "netns", "add", dead)
        await sweep()
        assert dead not in await _namespaces()
        assert ours.client.name in await _namespaces()
