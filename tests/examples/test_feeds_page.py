"""docs/feeds.md says what the code does: each of its blocks runs as it stands."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook as Verifier
from websockets.asyncio.server import ServerConnection, serve

from resilient_ws import connect
from resilient_ws.feeds import Channel, Source
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Refuse, Reset, ScriptedServer
from tests.examples.test_new_heads import call
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
            server.proxy = proxy
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

    @attrs.frozen
    class Holder:
        channel: Channel

    async with Channel(connect(proxy.url()), names["Numbered"]()) as channel:
        source: Source[Any, int] = names["ticks"]()
        path = tmp_path / "cursor.json"
        running = asyncio.create_task(
            names["onward"](Holder(channel), source, url, SECRET, path, letters)
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


def test_the_bot_has_fifteen_lines() -> None:
    bot = BLOCKS[0][BLOCKS[0].index("async def bot") :]
    assert sum(bool(line.strip()) for line in bot.splitlines()) <= 17


def test_every_field_of_a_source_is_told() -> None:
    table = PAGE[PAGE.index("| `Source` |") :]
    told = set(re.findall(r"`(\w+)`", table[: table.index("\n\n")]))
    fields = {field.name for field in attrs.fields(Source)}
    # parse, window and name explain themselves in its docstring.
    assert fields - told == {"parse", "window", "name"}


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert targets
    assert [one for one in targets if not (ROOT / "docs" / one).exists()] == []
