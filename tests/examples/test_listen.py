"""examples/listen.py: the owner hears of every kind of trouble, and the feed goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.examples.program import Program


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


async def test_the_owner_hears_of_a_drop_and_the_feed_goes_on(
    any_server: ServerProcess,
) -> None:
    async with Program("listen.py", f"{any_server.url}/feed?n=2") as bot:
        await bot.said("open, connection 1")
        await bot.said("2")

        await any_server.restart()

        await bot.said("dropped after")
        assert ", after " in await bot.said("open, connection 2")
        await bot.said("2", count=2)
        assert await bot.interrupted() == 0
        assert not bot.all_of("Traceback")


async def test_the_owner_hears_with_what_words_the_server_ended_the_link(
    any_server: ServerProcess,
) -> None:
    async with Program(
        "listen.py", f"{any_server.url}/feed?n=3&every=0.1&then=1001"
    ) as bot:
        await bot.said("3")
        told = await bot.said("ended by the server: 1001")
        await bot.said("dropped after")
        await bot.said("open, connection 2")
        assert "going away" in told


async def test_the_owner_hears_of_a_feed_that_fell_silent(
    any_server: ServerProcess,
) -> None:
    async with Program(
        "listen.py", f"{any_server.url}/feed?n=3", "--idle-timeout", "0.5"
    ) as bot:
        await bot.said("3")
        assert await bot.said("timed out") == "timed out: idle after 0.5 s"
        await bot.said("dropped after")
        await bot.said("open, connection 2")
