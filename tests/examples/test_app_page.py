"""docs/howto/fastapi.md: the application serves a price, across a drop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from tests.examples.feed_server import FeedServer
from tests.examples.page import Page
from tests.examples.program import Program
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.wire

RUN = """
import uvicorn
uvicorn.run("app:app", host="127.0.0.1", port=0)
"""


async def test_the_application_serves_a_price_across_a_drop(tmp_path: Path) -> None:
    (app,) = Page("docs/howto/fastapi.md").files
    async with FeedServer() as server, ClientSession() as http:
        (tmp_path / "app.py").write_text(server.local(app.text))
        (tmp_path / "run.py").write_text(RUN)
        path = f"{tmp_path}:{ROOT}"
        async with Program(
            str(tmp_path / "run.py"), environment={"PYTHONPATH": path}, folder=tmp_path
        ) as program:
            said = await program.said("INFO:     Uvicorn running on")
            url = said.split()[4]

            async def told(path: str) -> Any:
                async with http.get(f"{url}{path}") as answer:
                    return await answer.json()

            async def price() -> int:
                return int((await told("/price")).get("price", 0))

            async with asyncio.timeout(15):
                # The fourth price comes on the second connection.
                while await price() < 103:  # noqa: ASYNC110 - asked of another process
                    await asyncio.sleep(0.05)
            health = await told("/health")
            assert health["drops"] >= 1
            assert health["link"] in {"open", "backoff", "connecting", "restoring"}
            # The lifespan ends with the application.
            assert await program.interrupted() in {0, 130}
            assert [line for line in program.lines if "rror" in line] == []
