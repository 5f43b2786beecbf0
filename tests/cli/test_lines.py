"""Lines go in and out of whatever stdin and stdout are."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from resilient_ws.cli.lines import hung_up, read_lines
from tests.cli.command import SOON, Command


if TYPE_CHECKING:
    import pathlib

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire


async def test_stdin_may_be_a_file(
    websockets_server: ServerProcess, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "lines"
    count = 3000
    path.write_text("".join(f"{number}\n" for number in range(count)))
    with path.open() as file:
        url = f"{websockets_server.url}/echo"
        arguments = ("listen", url, "--count", str(count))
        async with Command(*arguments, stdin=file.fileno()) as command:
            code, out = await command.ended()
    assert code == 0
    assert out.split() == [str(number) for number in range(count)]


async def test_stdin_may_be_nothing(websockets_server: ServerProcess) -> None:
    url = f"{websockets_server.url}/feed?n=1"
    devnull = asyncio.subprocess.DEVNULL
    async with Command("listen", url, "--count", "1", stdin=devnull) as command:
        assert await command.ended() == (0, "1\n")


@pytest.mark.parametrize("path", ["/feed?n=1", "/feed?n=100000&every=0.001"])
async def test_ends_quietly_when_nobody_reads_its_output(
    websockets_server: ServerProcess, path: str
) -> None:
    read_end, write_end = os.pipe()
    url = f"{websockets_server.url}{path}"
    async with Command("listen", url, stdout=write_end) as command:
        os.close(write_end)
        assert (await asyncio.to_thread(os.read, read_end, 2)) == b"1\n"
        os.close(read_end)
        assert (await command.ended())[0] == 0


async def test_a_reader_that_stands_still_does_not_cost_the_connection(
    websockets_server: ServerProcess,
) -> None:
    count = 20_000
    # More than two pipes and the inbox hold.
    url = f"{websockets_server.url}/feed?n={count}&size=100"
    async with Command("listen", url, "--count", str(count)) as command:
        # The pipe is full, and the inbox behind it.
        await command.told("reading is paused")
        code, out = await command.ended()
    assert code == 0
    assert [int(line) for line in out.split()] == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"one\ntwo\r\n\nlast", [b"one", b"two", b"", b"last"]),
        (b"four\nfives\nsix\n", [b"four", None, b"six"]),
        (b"too long at the end", [None]),
        (b"x" * 200_000 + b"\nnext\n", [None, b"next"]),
    ],
)
async def test_a_line_that_is_too_long_is_left_out(
    content: bytes, lines: list[bytes | None], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert [line async for line in read_lines(file.fileno(), max_size=4)] == lines


async def test_a_pipe_whose_reader_is_gone_has_hung_up() -> None:
    read_end, write_end = os.pipe()
    waiting = asyncio.create_task(hung_up(write_end))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.close(read_end)
    async with asyncio.timeout(SOON):
        await waiting
    os.close(write_end)
