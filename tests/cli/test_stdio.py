"""The command's streams fail, or are not there."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest

from resilient_ws import Outbox, SQLiteStore, connect
from tests.cli.command import COMMAND, Command, run
from tests.servers.process import HOST, free_port, missing


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


@pytest.fixture
def full() -> Iterator[int]:
    """A disk without room; Linux has one."""
    try:
        descriptor = os.open("/dev/full", os.O_RDWR)
    except OSError:
        missing("/dev/full", "run the tests on Linux")
        raise
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def outbox(tmp_path: Path) -> Path:
    """A file with messages that no buffer takes."""
    path = tmp_path / "outbox.db"
    async with connect(
        f"ws://{HOST}:{free_port()}/",
        wait_open=False,
        outbox=Outbox(store=SQLiteStore(path)),
    ) as session:
        for _ in range(4):
            await session.send("x" * 50_000)
    return path


NO_ROOM = "resilient-ws: stdout cannot be written: No space left on device"


async def test_a_full_disk_beneath_the_messages(
    websockets_server: ServerProcess, full: int
) -> None:
    url = f"{websockets_server.url}/feed?n=5"
    async with Command("listen", url, stdout=full) as command:
        assert (await command.ended())[0] == 1
    assert command.errors[-1] == NO_ROOM
    # In good order: the server was told.
    (entry,) = await websockets_server.logged("close")
    assert entry["code"] == 1000


async def test_a_full_disk_beneath_the_messages_is_an_event_too(
    websockets_server: ServerProcess, full: int
) -> None:
    url = f"{websockets_server.url}/feed?n=5"
    async with Command("listen", url, "--json-events", stdout=full) as command:
        assert (await command.ended())[0] == 1
    last = json.loads(command.errors[-1])
    assert last["event"] == "Trouble"
    assert last["message"] in NO_ROOM


async def test_a_full_disk_beneath_the_events(
    websockets_server: ServerProcess, full: int
) -> None:
    url = f"{websockets_server.url}/feed?n=5"
    async with Command("listen", url, "--json-events", stderr=full) as command:
        assert (await command.ended())[0] == 1


async def test_a_full_disk_beneath_mere_words_ends_nothing(
    websockets_server: ServerProcess, full: int
) -> None:
    url = f"{websockets_server.url}/feed?n=3"
    async with Command("listen", url, "--count", "3", stderr=full) as command:
        assert await command.ended() == (0, "1\n2\n3\n")


async def test_nobody_reads_the_events_any_more(
    websockets_server: ServerProcess,
) -> None:
    read_end, write_end = os.pipe()
    url = f"{websockets_server.url}/feed?n=100000&every=0.001"
    arguments = ("listen", url, "--json-events")
    devnull = asyncio.subprocess.DEVNULL
    async with Command(*arguments, stdout=devnull, stderr=write_end) as command:
        os.close(write_end)
        assert b"event" in await asyncio.to_thread(os.read, read_end, 1000)
        os.close(read_end)
        await websockets_server.kill()  # which is an event
        assert (await command.ended())[0] == 0


async def test_a_stdin_that_cannot_be_read(websockets_server: ServerProcess) -> None:
    only_written = os.open(os.devnull, os.O_WRONLY)
    url = f"{websockets_server.url}/echo"
    async with Command("listen", url, stdin=only_written) as command:
        os.close(only_written)
        assert await command.ended() == (1, "")
    said = "resilient-ws: stdin cannot be read: Bad file descriptor"
    assert command.errors[-1] == said


SUBCOMMANDS = ["outbox FILE", "outbox --json FILE", "--version", "--help", "demo"]
LISTEN = f"listen ws://{HOST}:1234/"


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_a_full_disk_beneath_every_other_command(
    subcommand: str, outbox: Path, full: int
) -> None:
    done = run(f"{COMMAND} {subcommand.replace('FILE', str(outbox))} >/dev/full")
    assert done.stderr.splitlines() == [NO_ROOM]
    assert done.returncode == 1


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_nobody_reads_what_another_command_writes(
    subcommand: str, outbox: Path
) -> None:
    # Python takes far longer to start than the reader to leave.
    done = run(f"{COMMAND} {subcommand.replace('FILE', str(outbox))} | exec true")
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("subcommand", [*SUBCOMMANDS, LISTEN])
@pytest.mark.parametrize("stream", [1, 2])
def test_a_stream_that_is_closed(subcommand: str, stream: int, outbox: Path) -> None:
    line = subcommand.replace("FILE", str(outbox))
    done = run(f"{COMMAND} {line} {stream}>&-")
    assert done.returncode == 2
    assert done.stdout == ""
    said = "resilient-ws: stdout and stderr must be open; use >/dev/null\n"
    assert done.stderr == (said if stream == 1 else "")


def test_without_stdin_nothing_is_sent_and_nothing_ends() -> None:
    done = run(f"{COMMAND} {LISTEN} --give-up-after 0.1 <&-")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("resilient-ws: Gave up")


@pytest.mark.parametrize("subcommand", ["outbox FILE", "--version", "nonsense"])
def test_a_stderr_that_takes_nothing_changes_nothing(
    subcommand: str, outbox: Path, full: int
) -> None:
    line = f"{COMMAND} {subcommand.replace('FILE', str(outbox))}"
    assert run(f"{line} 2>/dev/full").returncode == run(line).returncode
