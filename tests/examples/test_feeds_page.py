"""docs/feeds.md says what the code does: each of its blocks runs as it stands."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiohttp import ClientSession, web
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook as Verifier
from websockets.asyncio.server import ServerConnection, serve

from resilient_ws import connect
from resilient_ws.feeds import BookSource, Channel, Gap, Source, protocols
from resilient_ws.feeds.evm import LogFilter
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Refuse, Reset, ScriptedServer
from tests.examples.test_new_heads import call
from tests.examples.workspace import APP_TOKEN, BOT_TOKEN, Workspace
from tests.feeds.evm.emitter import EMITTED, Emitter
from tests.feeds.evm.told import Node
from tests.record import until
from tests.servers.process import HOST, ROOT


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from resilient_ws.testing import Peer
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

PAGE = (ROOT / "docs" / "feeds.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECRET = f"whsec_{base64.b64encode(bytes(range(24))).decode()}"


def examples() -> dict[str, Any]:
    """The names that the blocks of the page define, run as they stand."""
    names: dict[str, Any] = {"__name__": "feeds"}
    for block in BLOCKS:
        exec(compile(block, "feeds.md", "exec"), names)
    return names


class Numbered:
    """The server of the page: it numbers ticks, and keeps them all."""

    def __init__(self) -> None:
        self.ticks: list[dict[str, int]] = []
        self.live: set[ServerConnection] = set()
        self.proxy: FaultProxy
        self.port: int

    async def tick(self) -> None:
        self.ticks.append({"seq": len(self.ticks) + 1})
        for connection in tuple(self.live):
            await connection.send(json.dumps(self.ticks[-1]))

    async def serve(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                asked = json.loads(message)
                answer: Any = True
                if "from" in asked:
                    answer = self.ticks[asked["from"] - 1 : asked["through"]]
                await connection.send(json.dumps({"id": asked["id"], "answer": answer}))
                self.live.add(connection)
        finally:
            self.live.discard(connection)


@pytest.fixture
async def numbered() -> AsyncIterator[Numbered]:
    server = Numbered()
    async with serve(server.serve, HOST, 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        async with FaultProxy(HOST, port) as proxy:
            server.proxy, server.port = proxy, port
            yield server


async def drop(proxy: FaultProxy) -> None:
    """End the connection, and let none through until the proxy is healed."""
    proxy.apply(Refuse())
    proxy.connections[-1].apply(Reset())


def numbers_in(lines: str) -> list[int]:
    return [int(line.split()[0]) for line in lines.splitlines()]


async def test_the_bot_leaves_no_block_out(
    anvil: Anvil, capsys: pytest.CaptureFixture[str]
) -> None:
    (account, *_) = await call(anvil, "eth_accounts")
    lines = ""

    def told(count: int) -> bool:
        nonlocal lines
        lines += capsys.readouterr().out
        return lines.count("\n") >= count

    async with FaultProxy(HOST, anvil.port) as proxy:
        bot = asyncio.create_task(examples()["bot"](proxy.url(), account))
        async with asyncio.timeout(60):
            while not told(1):
                await call(anvil, "evm_mine")
                await asyncio.sleep(0.05)
            await drop(proxy)
            await call(anvil, "anvil_mine", hex(5))
            proxy.heal()
            last = int(await call(anvil, "eth_blockNumber"), 16)
            first = numbers_in(lines)[0]
            await until(lambda: told(last - first + 1))
        bot.cancel()
        await asyncio.wait({bot})
    assert numbers_in(lines) == list(range(first, last + 1))


async def test_a_protocol_of_your_own_recovers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    got: list[int] = []
    names = examples()
    async with ScriptedServer() as server:
        following = asyncio.create_task(names["follow_desk"](server.url(), got.append))
        for after, missed, live in ((None, [], 1), (1, [2, 3], 4), (4, [5], 6)):
            peer = await server.accept()
            await answer(peer, {"do": "login", "token": "t0ken"}, True)
            if after is None:
                await answer(peer, {"do": "time"}, "noon")
            join = {"do": "join", "stream": "news", "after": after}
            items = [item(offset) for offset in missed]
            await answer(peer, join, {"epoch": "e", "offset": 0, "missed": items})
            await peer.send(json.dumps(item(live)))
            expected = live
            await until(lambda: got[-1:] == [expected])  # noqa: B023 - awaited here
            await peer.drop()
        following.cancel()
        await asyncio.wait({following})
    assert got == [1, 2, 3, 4, 5, 6]
    assert capsys.readouterr().out == "noon\n"


def item(offset: int) -> dict[str, Any]:
    return {"stream": "news", "offset": offset, "data": offset}


async def answer(peer: Peer, expected: dict[str, Any], result: Any) -> None:
    """Answer the next command, which is the one that is expected."""
    asked = json.loads(await peer.receive())
    number = asked.pop("id")
    assert asked == expected
    await peer.send(json.dumps({"id": number, "result": result}))


def blocks_of(database: sqlite3.Connection) -> dict[int, str]:
    return dict(database.execute("SELECT * FROM blocks").fetchall())


async def test_a_table_of_blocks_equals_the_chain(anvil: Anvil) -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(
        "CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash TEXT NOT NULL);"
        "CREATE TABLE position (text TEXT); INSERT INTO position VALUES (NULL);"
    )
    keep = examples()["keep"]
    async with Node(anvil.url) as node, FaultProxy(HOST, anvil.port) as proxy:

        async def equal() -> None:
            true = await node.chain(5)
            await until(lambda: blocks_of(database) == true, within=30)

        await node.mine(5)
        for depth in (0, 2, 4):
            if depth:  # while nobody follows
                await node.call("anvil_reorg", depth, [])
                await node.mine(3)
            async with Client(connect(proxy.url())) as client:
                keeping = asyncio.create_task(keep(client, database))
                await equal()
                await node.mine(10)
                await equal()
                await drop(proxy)
                await node.call("anvil_reorg", 2, [])
                await node.mine(2)
                proxy.heal()
                await equal()
                keeping.cancel()
                await asyncio.wait({keeping})
    database.close()


async def test_a_stream_of_your_own_has_no_hole(numbered: Numbered) -> None:
    proxy = numbered.proxy
    got: list[int] = []
    names = examples()
    following = asyncio.create_task(
        names["follow"](proxy.url(), lambda tick: got.append(tick["seq"]))
    )
    async with asyncio.timeout(60):
        await until(lambda: numbered.live)
        await numbered.tick()
        await until(lambda: got)
        await drop(proxy)
        await until(lambda: not numbered.live)
        for _ in range(5):
            await numbered.tick()
        proxy.heal()
        await until(lambda: len(got) == 6)
        await numbered.tick()
        await until(lambda: len(got) == 7)
    following.cancel()
    await asyncio.wait({following})
    assert got == [1, 2, 3, 4, 5, 6, 7]


async def test_a_call_says_whether_it_may_have_been_executed(anvil: Anvil) -> None:
    pay = examples()["pay"]
    async with Client(connect(anvil.url)) as client:
        assert await pay(client, "0x00") == "refused: -32602"

    async def swallow(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with serve(swallow, HOST, 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Client(connect(f"ws://{HOST}:{port}")) as client:
            assert (await pay(client, "0x00")).startswith("look whether")


async def test_ticks_go_onward_to_a_webhook(numbered: Numbered, tmp_path: Path) -> None:
    proxy = numbered.proxy
    got: list[tuple[str, int]] = []

    async def take(request: web.Request) -> web.Response:
        payload = Verifier(SECRET).verify(await request.read(), dict(request.headers))
        seq = payload["data"]["seq"]
        if seq == 2:
            return web.Response(status=400)
        got.append((request.headers["webhook-id"], seq))
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    url = f"http://{HOST}:{runner.addresses[0][1]}/"
    names = examples()
    letters: list[Any] = []

    async with Channel(connect(proxy.url()), names["Numbered"]()) as channel:
        source: Source[Any, int] = names["ticks"](channel)
        path = tmp_path / "cursor.json"
        running = asyncio.create_task(
            names["onward"](channel, source, url, SECRET, path, letters)
        )
        await until(lambda: numbered.live)
        for _ in range(3):
            await numbered.tick()
        await until(lambda: len(got) == 2 and path.exists(), within=30)
        await until(lambda: path.read_text() == "3", within=30)
        running.cancel()
        await asyncio.wait({running})
    await runner.cleanup()
    assert got == [("tick-1", 1), ("tick-3", 3)]
    assert [item for item, _ in letters] == [{"seq": 2}]


async def test_ticks_go_onward_by_mail() -> None:
    texts: list[str] = []

    class Mailbox:
        async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            texts.append(envelope.content.decode())
            return "250 OK"

    async def items() -> AsyncIterator[Any]:
        yield {"seq": 1}
        yield {"seq": 2}

    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Mailbox(), hostname="localhost"), HOST, 0
    )
    port = listening.sockets[0].getsockname()[1]
    server = {"host": HOST, "port": port, "encryption": "none"}
    async with listening:
        await examples()["digests"](items(), server)
    assert len(texts) == 1
    assert "Subject: 2 ticks" in texts[0]


async def test_a_subscription_whose_key_the_client_names() -> None:
    """As Deribit has it."""
    got: list[Any] = []

    async def market(connection: ServerConnection) -> None:
        request = json.loads(await connection.recv())
        assert request["method"] == "public/subscribe"
        (channel,) = request["params"]["channels"]
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": [channel]}
        await connection.send(json.dumps(answer))
        for name, price in (("another", 1), (channel, 2)):
            params = {"channel": name, "data": {"price": price}}
            told = {"jsonrpc": "2.0", "method": "subscription", "params": params}
            await connection.send(json.dumps(told))
        await connection.wait_closed()

    async with serve(market, HOST, 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        following = asyncio.create_task(
            examples()["prices"](f"ws://{HOST}:{port}", got.append)
        )
        await until(lambda: got)
        following.cancel()
        await asyncio.wait({following})
    assert got == [{"price": 2}]


class Room:
    """A chat: ids grow by steps, and its history has pages of two messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.joined: set[web.WebSocketResponse] = set()
        self.pages = 0

    async def say(self) -> None:
        number = len(self.messages)
        said = {"op": "message", "room": "hall", "id": 10 + number**2}
        self.messages.append(said)
        for socket in tuple(self.joined):
            await socket.send_json(said)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            async for message in socket:
                asked = message.json()
                assert asked["op"] == "join"
                await socket.send_json({"op": "joined", "room": asked["room"]})
                self.joined.add(socket)
        finally:
            self.joined.discard(socket)
        return socket

    async def history(self, request: web.Request) -> web.Response:
        self.pages += 1
        after = int(request.query["after"])
        return web.json_response([m for m in self.messages if m["id"] > after][:2])


async def test_a_chat_is_filled_from_its_history() -> None:
    room, names = Room(), examples()
    got: list[int] = []
    application = web.Application()
    application.router.add_get("/chat", room.stream)
    application.router.add_get("/history", room.history)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    port = runner.addresses[0][1]

    async def follow(url: str) -> None:
        async with (
            ClientSession(raise_for_status=True) as http,
            Channel(connect(url), names["Chat"]()) as channel,
        ):
            where = f"http://{HOST}:{port}/history"
            source = names["messages"](http, where, "hall")
            async for message in await channel.subscribe(source):
                assert not isinstance(message, Gap)
                got.append(message["id"])

    async with FaultProxy(HOST, port) as proxy:
        following = asyncio.create_task(follow(proxy.url("/chat")))
        await until(lambda: room.joined)
        await room.say()
        await until(lambda: got)
        await drop(proxy)
        await until(lambda: not room.joined)
        for _ in range(7):
            await room.say()
        proxy.heal()
        await until(lambda: len(got) == 8)
        await room.say()
        await until(lambda: len(got) == 9)
        following.cancel()
        await asyncio.wait({following})
    await runner.cleanup()
    assert got == [message["id"] for message in room.messages]
    assert room.pages >= 4


async def test_the_slack_bot_answers_over_a_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bot = examples()["slack_bot"]
    async with Workspace() as slack, FaultProxy(HOST, slack.port) as proxy:
        slack.link_port = proxy.port
        async with ClientSession() as http:
            running = asyncio.create_task(bot(http, slack.api, APP_TOKEN, BOT_TOKEN))
            await slack.linked(1)
            await slack.complain()
            await slack.mention()
            await slack.answered(1)
            proxy.apply(Reset())
            await slack.linked(2)
            await slack.mention()
            await slack.answered(2)
            running.cancel()
            await asyncio.wait({running})
    assert [post["thread_ts"] for post in slack.posted] == ["1.000100", "2.000100"]
    assert capsys.readouterr().out.startswith("mentions may be missing: ")


def test_the_slack_bot_has_less_lines_than_one_by_hand() -> None:
    (bot,) = (block for block in BLOCKS if "async def slack_bot" in block)
    assert sum(bool(line.strip()) for line in bot.splitlines()) < 35


async def test_connections_overlap_without_a_gap() -> None:
    got: list[Any] = []
    async with Workspace() as slack:

        async def url(_: object) -> str:
            return slack.ticket()

        running = asyncio.create_task(examples()["without_a_pause"](url, got.append))
        await slack.linked(1)
        await slack.mention()
        await slack.disconnect("refresh_requested")
        await slack.linked(2)
        await slack.mention(0)
        await slack.mention(1)
        await until(lambda: len(got) == 3)
        await until(lambda: slack.links[0].gone, within=15)
        running.cancel()
        await asyncio.wait({running})
    assert sorted(one["payload"]["event_id"] for one in got) == ["Ev1", "Ev2", "Ev3"]


async def test_hot_standby_has_no_hole_while_one_leg_stands(
    numbered: Numbered,
) -> None:
    got: list[int] = []
    standby = examples()["hot_standby"]
    other = FaultProxy(HOST, numbered.port)
    async with other, asyncio.timeout(60):
        proxies = numbered.proxy, other
        urls = [proxy.url() for proxy in proxies]
        running = asyncio.create_task(
            standby(urls, lambda tick: got.append(tick["seq"]))
        )
        await until(lambda: len(numbered.live) == 2)
        for turn in range(4):
            await numbered.tick()
            await drop(proxies[turn % 2])
            await until(lambda: len(numbered.live) == 1)
            await numbered.tick()
            proxies[turn % 2].heal()
            await until(lambda: len(numbered.live) == 2, within=20)
        await until(lambda: len(got) == 8)
        running.cancel()
        await asyncio.wait({running})
    assert sorted(got) == [*range(1, 9)]


def test_the_bot_has_twenty_lines() -> None:
    bot = BLOCKS[0][BLOCKS[0].index("async def bot") :]
    assert sum(bool(line.strip()) for line in bot.splitlines()) <= 20


def told_in_the_table(of: str) -> set[str]:
    table = PAGE[PAGE.index(f"| `{of}` |") :]
    return set(re.findall(r"`(\w+)`", table[: table.index("\n\n")]))


def test_every_field_of_a_source_is_told() -> None:
    fields = {field.name for field in attrs.fields(Source)}
    # parse, window and name explain themselves in its docstring.
    assert fields - told_in_the_table("Source") == {"parse", "window", "name"}


def test_every_field_of_a_book_source_is_told() -> None:
    fields = {field.name for field in attrs.fields(BookSource)}
    assert fields - told_in_the_table("BookSource") == set()


def test_every_protocol_is_told_with_a_stream_that_it_has() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\| `\w+\.(\w+)\(", PAGE, re.MULTILINE)
    known = {name: getattr(protocols, name) for name in protocols.__all__}
    assert {name for name, one in known.items() if hasattr(one, "route")} == set(
        dict(rows)
    )
    assert [row for row in rows if not callable(getattr(known[row[0]], row[1]))] == []


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert targets
    assert [one for one in targets if not (ROOT / "docs" / one).exists()] == []


async def test_a_table_of_logs_equals_the_chain(anvil: Anvil) -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(
        "CREATE TABLE logs (block TEXT, place INTEGER, data TEXT,"
        " PRIMARY KEY (block, place));"
        "CREATE TABLE position (text TEXT); INSERT INTO position VALUES (NULL);"
    )
    names = examples()
    names["TRANSFER"] = EMITTED

    def holds(true: list[tuple[str, int]]) -> bool:
        rows = database.execute("SELECT block, place FROM logs ORDER BY rowid")
        return rows.fetchall() == true

    async with Emitter(anvil.url) as node:
        await node.emit(*(n % 3 for n in range(100)))
        for depth in (0, 2, 4):
            if depth:
                await node.call("anvil_reorg", depth, [])
            await node.emit(2, 0, 3)
            true = [(block, place) for _, block, place in await node.logs()]
            async with Client(connect(anvil.url)) as client:
                work = names["transfers"](client, node.address, database)
                keeping = asyncio.create_task(work)
                await until(partial(holds, true), within=30)
                keeping.cancel()
                await asyncio.wait({keeping})
    database.close()


async def test_an_archive_over_http_has_what_is_final(anvil: Anvil) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*[1] * 100)
        taken: list[Any] = []
        url = f"http://{HOST}:{anvil.port}/"
        work = examples()["all_of"](client, LogFilter(), url, taken.append)
        reading = asyncio.create_task(work)
        await until(lambda: bool(taken) and taken[-1].cursor.number == 101, within=30)
        reading.cancel()
        await asyncio.wait({reading})
        told = [log for item in taken for log in getattr(item, "logs", ())]
        assert len(told) == len(await node.logs())
