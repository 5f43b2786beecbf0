"""What the commands draw on a terminal, and what their keys do."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from resilient_ws.cli.keyboard import LineEditor
from resilient_ws.recording import Entry
from resilient_ws.recording.entries import line_of
from resilient_ws.testing import ScriptedServer
from tests.cli.pseudo_terminal import OnTerminal
from tests.servers.process import free_port


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire


async def greet_and_echo(peer: Peer) -> None:
    await peer.accept()
    await peer.send("welcome \x1b[2J")
    while True:
        await peer.send(f"echo {await peer.receive()!r}")


async def test_listen_draws_its_status_and_sends_what_is_typed() -> None:
    async with (
        ScriptedServer(greet_and_echo) as server,
        OnTerminal("listen", server.url(), "--ping", "0.2") as terminal,
    ):
        await terminal.shows("welcome \\x1b[2J\r\n")
        await terminal.shows("· 1 message ·")
        await terminal.shows("ping ")
        terminal.press("helo\x7flo")
        await terminal.shows("> hello")
        assert server.received == []
        terminal.press("\r")
        await terminal.shows("echo 'hello'\r\n")
        terminal.press("\x03")
        assert await terminal.ended() == 0
    assert "\x1b[32m" in terminal.raw
    assert "resilient-ws: closed" in terminal.text
    # The status line is gone.
    assert terminal.raw.endswith("\r\x1b[K")


async def test_listen_counts_down_and_says_why_in_words() -> None:
    url = f"ws://127.0.0.1:{free_port()}/"
    async with OnTerminal("listen", url, environment={"NO_COLOR": "1"}) as terminal:
        await terminal.shows("(connection refused).")
        await terminal.shows("· attempt 2 in ")
        await terminal.shows("· connection refused")
        terminal.press("\x03")
        assert await terminal.ended() == 0
    assert "ECONNREFUSED" not in terminal.text
    # Clearing a line is no colour.
    assert set(terminal.raw.split("\x1b")[1:]) & {"[31m", "[2m"} == set()
    assert "[3" not in terminal.raw


async def test_a_status_line_never_wraps() -> None:
    async with (
        ScriptedServer(greet_and_echo) as server,
        OnTerminal("listen", server.url(), columns=24) as terminal,
    ):
        await terminal.shows("1 message")
        await asyncio.sleep(0.3)
        lines = re.split("[\r\n]+", terminal.text)
        drawn = [line for line in lines if line.startswith("open ")]
        terminal.press("\x03")
        await terminal.ended()
    assert drawn
    assert all(len(line) < 24 for line in drawn), drawn


async def test_chaos_obeys_keys(tmp_path: Path) -> None:
    port = free_port()
    async with ScriptedServer(greet_and_echo) as server:
        upstream = f"127.0.0.1:{server.port}"
        async with OnTerminal("chaos", str(port), upstream) as terminal:
            await terminal.shows(f"listening at ws://127.0.0.1:{port}")
            await terminal.shows("no fault · 0 connections")
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await terminal.shows("connection 1 came")
            terminal.press("f")
            await terminal.shows("freeze · 1 connection ·")
            terminal.press("h")
            await terminal.shows("heal")
            terminal.press("r")
            await terminal.shows("connection 1 ended")
            terminal.press("?")
            await terminal.shows("[q]uit")
            terminal.press("q")
            assert await terminal.ended() == 0
            writer.transport.abort()


async def test_replay_shows_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    entry = Entry(at=0.0, kind="text", epoch=1, data="hello")
    path.write_text('{"recording":1}\n' + line_of(entry) + "\n")
    async with OnTerminal("replay", str(path)) as terminal:
        await terminal.shows("plays 1 connection")
        await terminal.shows("waiting for a client (0 of 1)")
        terminal.press("\x03")
        assert await terminal.ended() == 0


def test_lines_are_edited() -> None:
    editor = LineEditor()
    assert editor.take("one\rtw") == ["one"]
    assert editor.typed == "tw"
    # Backspace, and Ctrl-U.
    assert editor.take("\x7fhree\nx\x15four\r") == ["three", "four"]
    assert editor.take("five\x04\r") == ["five"]
    assert not editor.ended
    editor.take("\x04")
    assert editor.ended
