"""The command's streams fail, or are not there; signals that it was told to ignore."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from resilient_ws import Outbox, SQLiteStore, connect
from tests.cli.command import SOON, Command
from tests.servers.process import HOST, free_port, missing


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire

COMMAND = f"{sys.executable} -m resilient_ws.cli"


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


def run(line: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line; the end of a pipe does not hide the beginning's.

    With buffered streams, as users have them, whatever the tests run with.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


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


# Signals.


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


async def test_a_command_of_a_test_takes_sigint_where_the_tests_do_not(
    websockets_server: ServerProcess,
) -> None:
    """Such as under nohup, where the run of the tests itself ignores it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with Command("listen", f"{websockets_server.url}/feed?n=1") as command:
            assert await command.line() == "1"
            command.signal(signal.SIGINT)
            assert await command.ended() == (0, "")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# Secrets.


async def test_url_and_headers_come_from_files(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    url, headers = tmp_path / "url", tmp_path / "headers"
    mark = "\ufeff"  # as some editors begin a file
    url.write_text(f"{mark}{websockets_server.url}/feed?n=1&token=planted\n")
    headers.write_text(f"{mark}Authorization: Bearer planted\n\nX-Two: b: c\n")
    arguments = (
        "--url-file",
        str(url),
        "--header",
        f"@{headers}",
        "--header",
        "X-Y: z",
    )
    async with Command("listen", *arguments, "--count", "1") as command:
        assert await command.ended() == (0, "1\n")
    (entry,) = await websockets_server.logged("open")
    assert entry["headers"]["authorization"] == "Bearer planted"
    assert entry["headers"]["x-two"] == "b: c"
    assert entry["headers"]["x-y"] == "z"
    assert not any("planted" in line for line in command.errors)


async def test_url_and_headers_come_from_the_environment(
    websockets_server: ServerProcess,
) -> None:
    environment = {
        "RESILIENT_WS_URL": f"{websockets_server.url}/feed?n=1",
        "RESILIENT_WS_HEADERS": "Authorization: Bearer planted\nX-Two: b",
    }
    arguments = ("listen", "--count", "1")
    async with Command(*arguments, environment=environment) as command:
        assert await command.ended() == (0, "1\n")
    (entry,) = await websockets_server.logged("open")
    assert entry["headers"]["authorization"] == "Bearer planted"
    assert entry["headers"]["x-two"] == "b"


async def test_a_secret_may_come_through_a_pipe(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/feed?n=1"
    done = await asyncio.to_thread(
        run,
        f"{COMMAND} listen {url} --count 1 --header @<(echo 'X-Key: planted') </dev/null",
    )
    assert done.stdout == "1\n"
    (entry,) = await websockets_server.logged("open")
    assert entry["headers"]["x-key"] == "planted"


@pytest.mark.parametrize(
    ("arguments", "content", "text"),
    [
        (["--url-file", "FILE"], None, "cannot be read: No such file or directory"),
        (["--url-file", ""], None, "cannot be read"),
        (["--url-file", "/"], None, "cannot be read: Is a directory"),
        (["--url-file", "FILE"], b"", "must hold one line"),
        (["--url-file", "FILE"], b"wss://planted/\nwss://b/\n", "must hold one line"),
        (["--url-file", "FILE"], b"wss://planted\xff/", "is not UTF-8"),
        (["--url-file", "FILE"], b"wss://planted/" + b"x" * 70_000, "larger than"),
        (["--url-file", "FILE"], b"http://planted/", "ws"),
        (["--url-file", "FILE", "ws://h/"], b"wss://planted/", "not both"),
        (["wss://h/", "--header", "@FILE"], None, "cannot be read"),
        (["wss://h/", "--header", "@FILE"], b"planted", "'Name: value'"),
        (["wss://h/", "--header", "@FILE"], b"A: planted\na: 2", "twice"),
        (["wss://h/", "--header", "@FILE", "--header", "a: 2"], b"A: planted", "twice"),
        (
            ["wss://h/", "--header", "@FILE"],
            b"A: planted\x01",
            "--header['A'] must not",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_without_what_it_holds(
    arguments: list[str], content: bytes | None, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    put = [part.replace("FILE", str(path)) for part in arguments]
    async with Command("listen", *put) as command:
        assert await command.ended() == (2, "")
    (line,) = command.errors
    assert line.startswith("resilient-ws: ")
    assert text in line
    assert not re.search("planted(?!/)", line)
