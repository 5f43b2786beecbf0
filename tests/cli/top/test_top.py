"""``resilient-ws top`` beside a page that speaks as ``resilient_ws.monitor`` does."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from resilient_ws import connect, monitor
from resilient_ws.cli.top.command import live_url
from resilient_ws.cli.top.drawing import drawn
from resilient_ws.cli.top.picture import Picture
from resilient_ws.testing import ScriptedServer
from tests.cli.command import Command
from tests.cli.pseudo_terminal import OnTerminal


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

COLUMNS = ["id", "name", "health", "state", "since", "retryAt", "alarms", "latency"]
COLUMNS += ["received", "sent", "inbox", "outbox", "drops", "gaps"]
NOW = 1_000_000.0


def hello() -> str:
    return json.dumps({"type": "hello", "title": "bot.py", "columns": COLUMNS})


def turn(*rows: list[Any], ids: list[int] | None = None) -> str:
    numbers = [row[0] for row in rows] if ids is None else ids
    fields = {"type": "turn", "now": NOW, "ids": numbers, "rows": rows, "notes": []}
    return json.dumps(fields)


def good(number: int) -> list[Any]:
    return [
        number,
        f"feed-{number}",
        "good",
        "open",
        NOW - 65,
        None,
        [],
        0.012,
        3.5,
        1,
        0,
        0,
        0,
        None,
    ]


def bad(number: int) -> list[Any]:
    alarms = [["bad", "no connection", NOW - 7], ["warn", "outbox nearly full", None]]
    return [
        number,
        f"feed-{number}",
        "bad",
        "backoff",
        NOW - 7,
        NOW + 3,
        alarms,
        None,
        0,
        0,
        0,
        900,
        4,
        2,
    ]


def text(picture: Picture, width: int, height: int = 0) -> str:
    console = Console(width=width, height=max(height, 24), color_system=None)
    with console.capture() as capture:
        console.print(drawn(picture, width=width, height=height))
    return capture.get()


def test_draws_the_worst_first_and_fits() -> None:
    picture = Picture()
    picture.take(hello())
    picture.take(turn(good(1), bad(2), good(3)))
    wide = text(picture, 200)
    assert wide.splitlines()[0].split() == [
        "bot.py",
        "3",
        "sessions",
        "1",
        "bad",
        "2",
        "well",
    ]
    first, second = wide.splitlines()[2:4]
    assert "retry in 3 s" in first
    assert "no connection (+1)" in first
    assert "open 1:05" in second
    assert "12 ms" in second
    for width in (40, 80, 120):
        assert max(map(len, text(picture, width).splitlines())) <= width
    assert "1 more, which are better, do not fit" in text(picture, 80, height=7)


def test_sessions_come_and_go() -> None:
    picture = Picture()
    picture.take(hello())
    picture.take(turn(good(1), good(2)))
    picture.take(turn(ids=[2]))
    assert [row["id"] for row in picture.rows] == [2]


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize(
    "message",
    [
        "",
        "[]",
        "[" * 100_000,
        b"\xff",
        '{"type":"turn"}',
        '{"type":"turn","rows":[1,[],["x"]],"ids":"all","now":"now","notes":3}',
        json.dumps(
            {
                "type": "turn",
                "ids": [1],
                "rows": [[1, "\x1b[2J", 5, [], {}, "x", [[1], 3]]],
            }
        ),
    ],
)
def test_nothing_that_a_server_sends_breaks_it(message: str | bytes) -> None:
    picture = Picture()
    picture.take(hello())
    picture.take(message)
    assert "\x1b[2J" not in text(picture, 80)


def test_where_the_page_is() -> None:
    assert live_url("http://localhost:8080") == "ws://localhost:8080/live"
    assert live_url("https://a.example/monitor/") == "wss://a.example/monitor/live"


@pytest.mark.wire
async def test_prints_once_without_a_terminal_and_shows_the_token(
    tmp_path: Path,
) -> None:
    async def page(peer: Peer) -> None:
        await peer.accept()
        await peer.send('{"type":"locked"}')
        if json.loads(await peer.receive()) != {"token": "PLANTED"}:
            await peer.close(4401, "wrong token")
        await peer.send(hello(), turn(good(1)))
        await peer.ended()

    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("PLANTED\n")
    wrong.write_text("GUESSED\n")
    async with ScriptedServer(page) as server:
        url = server.url().replace("ws://", "http://")
        async with Command("top", url, "--token-file", str(right)) as command:
            code, out = await command.ended()
        assert code == 0
        assert "feed-1" in out
        async with Command("top", url, "--token-file", str(wrong)) as command:
            assert (await command.ended())[0] == 1
        assert command.errors == ["resilient-ws: the token is wrong"]
        async with Command("top", url) as command:
            assert (await command.ended())[0] == 1
        (line,) = command.errors
        assert "give --token-file" in line


@pytest.mark.wire
async def test_draws_on_a_terminal_until_q() -> None:
    async def page(peer: Peer) -> None:
        await peer.accept()
        await peer.send(hello(), turn(good(1)))
        await asyncio.sleep(0.5)
        await peer.send(turn(bad(1)))
        await peer.ended()

    async with (
        ScriptedServer(page) as server,
        OnTerminal("top", server.url()) as terminal,
    ):
        await terminal.shows("1 well")
        await terminal.shows("no connection")
        terminal.press("q")
        assert await terminal.ended() == 0


@pytest.mark.wire
async def test_shows_a_real_page() -> None:
    async def feed(peer: Peer) -> None:
        await peer.accept()
        while True:
            await peer.send(str(time.time()))
            await asyncio.sleep(0.1)

    async with (
        ScriptedServer(feed) as server,
        connect(server.url(), name="a-feed") as session,
        monitor.serve(session) as page,
        Command("top", page.url) as command,
    ):
        reading = asyncio.create_task(_read(session))
        code, out = await command.ended()
        reading.cancel()
    assert code == 0
    assert "1 session  1 well" in out
    assert "a-feed" in out


async def _read(session: Any) -> None:
    async for _ in session:
        pass
