"""examples/address_alert.py: what moves is posted, over a kill of the program."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier

from tests.examples.program import Program
from tests.examples.token import ALICE, BOB, CAROL, Token
from tests.record import until
from tests.servers.process import HOST


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

SECRET = f"whsec_{base64.b64encode(bytes(range(24))).decode()}"


class Receiver:
    """A web server that verifies each alert, and answers 503 to every third.

    Attributes:
        alerts: The data of each, by the id of its delivery.
    """

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self._posts = 0

    async def take(self, request: web.Request) -> web.Response:
        self._posts += 1
        if self._posts % 3 == 0:
            return web.Response(status=503)
        payload = Verifier(SECRET).verify(await request.read(), dict(request.headers))
        self.alerts[request.headers["webhook-id"]] = payload["data"]
        return web.Response(status=204)

    def amounts(self, what: str) -> list[int]:
        """Return the amounts of alerts that still stand."""
        void = {one for alert in self.alerts.values() for one in alert["undone"]}
        return [
            int(amount, 16)
            for alert in self.alerts.values()
            if alert["what"] == what and alert["block"] not in void
            for _, amount in alert["transfers"]
        ]


async def test_transfers_of_the_address_are_posted(
    anvil: Anvil, tmp_path: Path
) -> None:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    target = f"http://{HOST}:{runner.addresses[0][1]}/hook"
    arguments = (anvil.url, ALICE, str(tmp_path), target)
    secret = {"WEBHOOK_SECRET": SECRET}
    positions = tmp_path / "sent", tmp_path / "received"

    async with Token(anvil.url) as token:
        async with Program("address_alert.py", *arguments, environment=secret):
            # Blocks until it has begun, and says how far it has come.
            while not all(position.exists() for position in positions):
                await token.mine()
            await token.transfer((ALICE, BOB, 1), (BOB, CAROL, 2), (CAROL, ALICE, 3))
            await until(lambda: receiver.amounts("sent") == [1], within=60)
            await until(lambda: receiver.amounts("received") == [3], within=60)
            _, tip = await token.tip()
            for position in positions:
                await until(lambda: tip[2:] in position.read_text(), within=60)  # noqa: B023 - done in the round
        # Killed. What happens now is missed: the block is replaced by another.
        await token.call("anvil_reorg", 1, [])
        await token.transfer((BOB, ALICE, 4))
        async with Program(
            "address_alert.py", *arguments, environment=secret
        ) as program:
            await until(lambda: receiver.amounts("received") == [4], within=60)
            await until(lambda: receiver.amounts("sent") == [], within=60)
            assert await program.interrupted() == 0
    await runner.cleanup()
