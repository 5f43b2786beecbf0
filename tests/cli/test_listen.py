"""``resilient-ws listen`` against a server of other hands."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.testing import ScriptedServer
from tests.cli.command import Command
from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.scripted import websockets_server as serve


if TYPE_CHECKING:
    import pathlib

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire


async def test_prints_messages_until_the_count(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/feed?n=5"
    async with Command("listen", url, "--count", "3") as command:
        assert await command.ended() == (0, "1\n2\n3\n")
    assert any("open: connection 1" in line for line in command.errors)


async def test_goes_on_over_a_drop(websockets_server: ServerProcess) -> None:
    url = f"{websockets_server.url}/feed?n=2&every=0.05&then=4000"
    async with Command("listen", url, "--count", "3") as command:
        assert await command.ended() == (0, "1\n2\n1\n")


async def test_sends_headers_and_subprotocols(websockets_server: ServerProcess) -> None:
    arguments = ("--header", "X-One: a: b", "--header", "X-Two:c")
    offered = ("--subprotocol", "first", "--subprotocol", "second")
    url = f"{websockets_server.url}/feed?n=1"
    async with Command("listen", url, "--count", "1", *arguments, *offered) as command:
        assert (await command.ended())[0] == 0
    (entry,) = await websockets_server.logged("open")
    assert entry["headers"]["x-one"] == "a: b"
    assert entry["headers"]["x-two"] == "c"
    assert entry["headers"]["sec-websocket-protocol"] == "first, second"


async def test_what_is_read_offline_is_sent_later_and_the_end_of_stdin_ends_nothing() -> (
    None
):
    server = serve()
    async with Command("listen", f"{server.url}/echo") as command:
        await command.write("one\ntwo\r\n\nlast")
        assert command.process.stdin is not None
        command.process.stdin.close()
        await command.told("attempt 1 failed")
        async with server:
            assert await server.received(4) == ["one", "two", "", "last"]
            echoed = [await command.line() for _ in range(4)]
            assert echoed == ["one", "two", "", "last"]
            command.signal(signal.SIGTERM)
            assert await command.ended() == (0, "")


async def test_what_is_to_be_sent_on_each_connection_is(
    tmp_path: pathlib.Path,
) -> None:
    async def restarting(peer: Peer) -> None:
        await peer.accept()
        for expected in ("login", "subscribe", "more"):
            await peer.expect(expected)
        await peer.send("heard")
        await peer.close(1012)

    file = tmp_path / "messages"
    file.write_text("subscribe\nmore\n")
    async with ScriptedServer(restarting) as server:
        options = ("--on-open", "login", "--on-open", f"@{file}", "--count", "2")
        async with Command("listen", server.url(), *options) as command:
            assert await command.ended() == (0, "heard\nheard\n")
    assert len(server.peers) == 2


async def test_what_is_not_utf8_is_told_and_not_sent(
    websockets_server: ServerProcess,
) -> None:
    async with Command("listen", f"{websockets_server.url}/echo") as command:
        assert command.process.stdin is not None
        command.process.stdin.write(b"\xff\ngood\n")
        await command.told("line 1 of stdin is not UTF-8 and was not sent")
        assert await command.line() == "good"


def events_of(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


async def test_json_events_are_one_object_a_line(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/feed?n=2&every=0.05&then=4000"
    async with Command("listen", url, "--count", "3", "--json-events") as command:
        assert (await command.ended())[0] == 0
    events = events_of(command.errors)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    opened = [event for event in events if event["event"] == "ConnectionOpened"]
    assert [event["epoch"] for event in opened] == [1, 2]
    dropped = next(event for event in events if event["event"] == "ConnectionDropped")
    assert dropped["because"]["type"] == "ConnectionLost"
    assert "4000" in dropped["because"]["message"]
    assert dropped["because"]["close"]["code"] == dropped["close"]["code"] == 4000
    assert dropped["close"]["initiator"] == "peer"
    names = [event["event"] for event in events]
    assert names.index("ServerTerminated") < names.index("ConnectionDropped")
    assert names[-1] == "SessionClosed"


@pytest.mark.parametrize("as_json", [False, True])
async def test_exits_with_1_when_the_session_gave_up(as_json: bool) -> None:
    url = f"ws://{HOST}:{free_port()}/"
    flags = ["--json-events"] if as_json else []
    async with Command("listen", url, "--give-up-after", "0.3", *flags) as command:
        assert await command.ended() == (1, "")
    last = command.errors[-1]
    if as_json:
        closed = events_of(command.errors)[-1]
        assert closed["event"] == "SessionClosed"
        assert closed["failure"]["type"] == "GaveUp"
        assert closed["failure"]["history"][0]["type"] == "ConnectFailed"
    else:
        assert re.match(r"resilient-ws: Gave up after \d+ failed attempts? in ", last)


async def test_exits_with_1_when_the_server_says_never(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/refuse?status=404"
    async with Command("listen", url) as command:
        assert await command.ended() == (1, "")
    assert "404" in command.errors[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_good_order(
    websockets_server: ServerProcess, number: signal.Signals
) -> None:
    async with Command("listen", f"{websockets_server.url}/feed?n=1") as command:
        assert await command.line() == "1"
        command.signal(number)
        assert await command.ended() == (0, "")
    (entry,) = await websockets_server.logged("close")
    assert entry["code"] == 1000


async def test_a_second_signal_does_not_wait_for_a_frozen_server(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/feed?n=1"
    async with Command("listen", url, "--json-events") as command:
        assert await command.line() == "1"
        await websockets_server.freeze()
        command.signal(signal.SIGINT)
        await command.told('"current": "closing"')
        command.signal(signal.SIGINT)
        # Less than the 5 s that the closing handshake may take.
        assert await command.ended(within=4.0) == (0, "")


async def test_a_signal_while_offline_tells_what_was_not_sent() -> None:
    async with Command("listen", f"ws://{HOST}:{free_port()}/") as command:
        await command.write("one\ntwo\n")
        # Whoever has read one of these has read all: they came in one write.
        await command.told("attempt 2 failed")
        command.signal(signal.SIGINT)
        assert await command.ended() == (0, "")
    assert command.errors[-1] == "resilient-ws: closed; 2 messages not sent"
