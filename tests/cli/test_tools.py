"""Help, completion, and the commands for links and recordings, without a terminal."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from resilient_ws.cli.addresses import read_listen, read_upstream
from resilient_ws.testing import ScriptedServer
from tests.cli.command import Command
from tests.servers.process import free_port


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire

COMMANDS = (
    "listen",
    "probe",
    "chaos",
    "top",
    "replay",
    "heads",
    "logs",
    "outbox",
    "demo",
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
async def test_help_fits_a_terminal(command: str) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    environment = {"COLUMNS": "80", "NO_COLOR": "1"}
    async with Command(*arguments, environment=environment) as help_:
        code, out = await help_.ended()
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    for name in () if command else COMMANDS:
        assert f" {name} " in out


async def test_completes_commands_and_options() -> None:
    async def completed(words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; sys.argv = ['resilient-ws']; from resilient_ws.cli import main; main()",
            stdout=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/bin",
                "PYTHONPATH": ":".join(sys.path),
                "_RESILIENT_WS_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(words.count(" ")),
            },
        )
        out, _ = await process.communicate()
        return out.decode()

    assert "listen" in await completed("resilient-ws li")
    assert "--timestamps" in await completed("resilient-ws listen --ti")


async def test_is_a_module_too() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "resilient_ws",
        "--version",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out.startswith(b"resilient-ws ")


async def test_chaos_plays_a_script(tmp_path: Path) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.send("hello")
        await peer.ended()

    script = tmp_path / "script"
    script.write_text("0.5 reset\n1 repeat\n")
    port = free_port()
    async with ScriptedServer(serve) as server:
        arguments = ["chaos", str(port), server.url(), "--script", str(script)]
        async with Command(*arguments) as chaos:
            assert "listening at" in await chaos.line()
            url = f"ws://127.0.0.1:{port}/"
            async with Command("listen", url, "--count", "3") as listen:
                assert await listen.ended() == (0, "hello\n" * 3)
            chaos.signal(signal.SIGINT)
            code, out = await chaos.ended()
    assert code == 0
    assert "reset" in out
    assert "the script begins again" in out
    assert any("was reset" in line for line in listen.errors)


async def test_chaos_needs_its_port() -> None:
    async with ScriptedServer() as server:
        taken = str(server.port)
        async with Command("chaos", taken, "127.0.0.1:9") as chaos:
            assert await chaos.ended() == (1, "")
    (line,) = chaos.errors
    assert "in use" in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chaos", "here", "127.0.0.1:1"], "LISTEN must be PORT or HOST:PORT"),
        (["chaos", "9000", "there"], "UPSTREAM must be HOST:PORT or the URL"),
        (["chaos", "9000", "a:1", "--script", "/nowhere"], "--script: /nowhere cannot"),
        (["replay", "x", "--listen", "a"], "--listen must be"),
        (["replay", "x", "--speed", "0"], "--speed must be above 0"),
        (["top", "ftp://x"], "URL must be that of the page"),
        (["top", "http://localhost:8080/", "--token-file", "/nowhere"], "--token-file"),
        (["probe", "ws://localhost/", "--watch", "-1"], "--watch"),
    ],
)
async def test_wrong_arguments(arguments: list[str], complaint: str) -> None:
    async with Command(*arguments) as command:
        assert await command.ended() == (2, "")
    (line,) = command.errors
    assert complaint in line


async def test_replay_refuses_what_is_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("hello\n")
    for name, complaint in ((file, "not a recording"), ("/nowhere", "No such file")):
        async with Command("replay", str(name)) as command:
            assert await command.ended() == (1, "")
        (line,) = command.errors
        assert complaint in line


def test_addresses() -> None:
    assert read_listen("9000", "LISTEN") == ("127.0.0.1", 9000)
    assert read_listen("0.0.0.0:1", "LISTEN") == ("0.0.0.0", 1)
    assert read_listen("[::1]:80", "LISTEN") == ("::1", 80)
    assert read_upstream("wss://example.com/feed", "UPSTREAM") == ("example.com", 443)
    assert read_upstream("ws://[::1]:9/", "UPSTREAM") == ("::1", 9)
    assert read_upstream("example.com:9", "UPSTREAM") == ("example.com", 9)
    for wrong in ("example.com", "ws://a:99999/", "x://a", ":1", "a:99999"):
        with pytest.raises(ValueError, match="UPSTREAM must be"):
            read_upstream(wrong, "UPSTREAM")
