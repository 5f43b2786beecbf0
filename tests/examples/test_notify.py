"""examples/notify.py: every block is told, over a kill of the program as well."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook as Verifier

from tests.examples.program import Program
from tests.examples.test_new_heads import call
from tests.record import until
from tests.servers.process import HOST


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

SECRET = f"whsec_{base64.b64encode(bytes(range(24))).decode()}"


class Receiver:
    """A web server that verifies each block, and answers 503 to every third."""

    def __init__(self) -> None:
        self.blocks: dict[int, str] = {}
        self.ids: set[str] = set()
        self.calls = 0

    async def take(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.calls % 3 == 0:
            return web.Response(status=503)
        headers = dict(request.headers)
        payload = Verifier(SECRET).verify(await request.read(), headers)
        block = payload["data"]
        assert request.headers["webhook-id"] == block["hash"]
        self.ids.add(block["hash"])
        self.blocks[block["cursor"]] = block["hash"]
        return web.Response(status=204)


async def test_a_webhook_gets_every_block_over_a_kill(
    anvil: Anvil, tmp_path: Path
) -> None:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    target = f"http://{HOST}:{runner.addresses[0][1]}/hook"
    cursor = tmp_path / "cursor.json"
    arguments = (anvil.url, str(cursor), target)
    secret = {"WEBHOOK_SECRET": SECRET}

    async with Program("notify.py", *arguments, environment=secret) as first:
        await first.said("subscribed")
        await call(anvil, "anvil_mine", hex(3))
        await until(lambda: len(receiver.blocks) == 3 and cursor.exists(), within=30)
    # Killed. What is mined now is missed.
    await call(anvil, "anvil_mine", hex(3))
    async with Program("notify.py", *arguments, environment=secret) as second:
        await second.said("subscribed")
        await until(lambda: len(receiver.blocks) == 6, within=30)
        await until(lambda: cursor.read_text() == "6")
        assert await second.interrupted() == 0

    assert sorted(receiver.blocks) == list(range(1, 7))
    for number, known in receiver.blocks.items():
        block = await call(anvil, "eth_getBlockByNumber", hex(number), False)
        assert known == block["hash"]
    # A block that came twice had the id of the first time.
    assert len(receiver.ids) == 6
    await runner.cleanup()


class Mailbox:
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.texts.append(envelope.content.decode())
        return "250 OK"


async def test_a_mailbox_gets_a_digest(anvil: Anvil, tmp_path: Path) -> None:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, hostname="localhost"), HOST, 0
    )
    environment = {
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(server.sockets[0].getsockname()[1]),
        "SMTP_ENCRYPTION": "none",
    }
    arguments = (anvil.url, str(tmp_path / "cursor.json"), "mailto:you@example.org")
    program = Program("notify.py", *arguments, environment=environment)
    async with server, program as bot:
        await bot.said("subscribed")
        await call(anvil, "anvil_mine", hex(4))
        await until(lambda: len(box.texts) == 1, within=30)
        await until((tmp_path / "cursor.json").exists)
        assert await bot.interrupted() == 0
    (text,) = box.texts
    assert "Subject: 4 blocks" in text
    assert [f'"cursor": {number}' in text for number in range(6)] == [
        *(False, True, True, True, True, False)
    ]
