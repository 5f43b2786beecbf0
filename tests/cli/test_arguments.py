"""URL, headers and messages come from files and the environment, too."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import COMMAND, Command, run


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


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


async def test_a_file_of_messages_that_is_not_there_is_told() -> None:
    async with Command("listen", "ws://127.0.0.1:9", "--on-open", "@none") as command:
        assert await command.ended() == (2, "")
    assert "--on-open: none cannot be read" in "".join(command.errors)
