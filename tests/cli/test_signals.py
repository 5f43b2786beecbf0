"""Signals end the command cleanly, unless it was started to ignore them."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import COMMAND, SOON, Command


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


async def test_a_signal_that_was_ignored_at_the_start_stays_ignored(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/echo"
    # As a script starts it with &, and Ctrl-C is meant for the script.
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"trap '' INT; exec {COMMAND} listen {url}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SOON):
            process.stdin.write(b"one\n")
            assert await process.stdout.readline() == b"one\n"
            process.send_signal(signal.SIGINT)
            process.stdin.write(b"two\n")
            assert await process.stdout.readline() == b"two\n"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    (entry,) = await websockets_server.logged("close")
    assert entry["code"] == 1000


async def test_a_terminal_that_goes_ends_it_in_good_order(
    websockets_server: ServerProcess,
) -> None:
    async with Command("listen", f"{websockets_server.url}/feed?n=1") as command:
        assert await command.line() == "1"
        command.signal(signal.SIGHUP)
        assert await command.ended() == (0, "")
    (entry,) = await websockets_server.logged("close")
    assert entry["code"] == 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_a_command_of_a_test_takes_signals_that_the_tests_do_not(
    websockets_server: ServerProcess, number: signal.Signals
) -> None:
    """Such as under nohup, where the run of the tests itself ignores them."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        async with Command("listen", f"{websockets_server.url}/feed?n=1") as command:
            assert await command.line() == "1"
            command.signal(number)
            assert await command.ended() == (0, "")
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
