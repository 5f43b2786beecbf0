"""Wrong arguments, the version, the help, and a missing extra."""

from __future__ import annotations

import asyncio
import sys

import pytest

import resilient_ws
from resilient_ws.cli.version_text import version_text
from tests.cli.command import SOON, Command


pytestmark = pytest.mark.wire


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["listen"], "URL"),
        (["listen", "http://example.com"], "ws"),
        (["listen", "ws://example.com/"], "--allow-insecure"),
        (["listen", "ws://localhost:9000/", "--header", "no colon"], "'Name: value'"),
        (["listen", "ws://localhost:9000/", "--header", "a b: c"], "header"),
        (
            ["listen", "ws://localhost:9000/", "--header", "A: 1", "--header", "a: 2"],
            "twice",
        ),
        (
            ["listen", "ws://localhost:9000/", "--subprotocol", "a b"],
            "--subprotocol[",
        ),
        (["listen", "ws://localhost:9000/", "--count", "0"], "--count"),
        (["listen", "ws://localhost:9000/", "--count", "few"], "--count"),
        (
            ["listen", "ws://localhost:9000/", "--give-up-after", "-1"],
            "--give-up-after must be",
        ),
        (["listen", "ws://localhost:9000/", "--header", "A: \x01"], "--header['A']"),
        (["listen", "ws://a b/"], "URL must not"),
        (["listen", "ws://a/\udcff"], "URL must not"),
        (["no\x1b[2J\nnsense"], "no\\x1b[2J\\nnsense"),
        (["listen", "ws://localhost:9000/", "--binary", "raw"], "--binary"),
        (["listen", "ws://localhost:9000/", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
async def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], text: str
) -> None:
    async with Command(*arguments) as command:
        assert await command.ended() == (2, "")
    (line,) = command.errors
    assert line.startswith("resilient-ws: ")
    assert text in line


@pytest.mark.parametrize("arguments", [["--version"], ["listen", "--version"]])
async def test_shows_its_version_and_which_twin_runs(arguments: list[str]) -> None:
    async with Command(*arguments) as command:
        assert await command.ended() == (0, f"{version_text()}\n")


async def test_the_twin_in_python_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESILIENT_WS_PURE", "1")
    async with Command("--version") as command:
        out = f"resilient-ws {resilient_ws.__version__} (pure Python)\n"
        assert await command.ended() == (0, out)


@pytest.mark.parametrize(
    ("compiled", "words"), [(True, "(compiled)"), (False, "(pure Python)")]
)
def test_there_are_words_for_both(
    monkeypatch: pytest.MonkeyPatch, compiled: bool, words: str
) -> None:
    monkeypatch.setattr(resilient_ws, "__compiled__", compiled)
    expected = f"resilient-ws {resilient_ws.__version__} {words}"
    assert version_text() == expected


@pytest.mark.parametrize("missing", ["typer", "rich"])
async def test_says_what_to_install_when_the_extra_is_missing(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None;"
        "from resilient_ws.cli import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        "demo",
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SOON):
        _, err = await process.communicate()
    assert process.returncode == 2
    (line,) = err.decode().splitlines()
    assert "pip install 'resilient-ws[cli]'" in line


async def test_help_fills_the_lines_of_the_terminal() -> None:
    async with Command("listen", "--help", environment={"COLUMNS": "70"}) as command:
        code, out = await command.ended()
    assert code == 0
    paragraph = out[out.index("Messages go") : out.index("(nohup)")]
    lines = [line.strip() for line in paragraph.splitlines()]
    assert all(len(line) > 50 for line in lines[:-1]), paragraph
