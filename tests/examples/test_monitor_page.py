"""docs/monitor.md says what the code does, and shows what was measured and seen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import ClientSession, web

import resilient_ws
from resilient_ws.monitor import alarms
from resilient_ws.monitor.chronicle import KEPT
from resilient_ws.monitor.gate import SHORTEST
from resilient_ws.monitor.series import LENGTH
from resilient_ws.monitor.viewers import MOST_VIEWERS
from resilient_ws.monitor.watch_list import MOST
from tests.servers.process import ROOT


PAGE = (ROOT / "docs" / "monitor.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def defined(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "monitor_page"}
    exec(compile(block.replace("asyncio.run(main())", ""), "monitor.md", "exec"), names)
    return names


def test_the_numbers_are_those_of_the_code() -> None:
    for text in (
        f"for {alarms.HICCUP:.0f} seconds or more",
        f"{alarms.STORM} drops in {alarms.RECENT / 60:.0f} minutes",
        f"{alarms.UNSTEADY} drops in",
        f"{alarms.NEARLY:.0%}".replace("%", " %"),
        f"for {alarms.STUCK:.0f} seconds",
        f"three spans of {LENGTH} samples",
        f"The last {KEPT} events",
        f"a token of {SHORTEST} characters",
        f"At most {MOST:,} sessions",
        f"{MOST_VIEWERS} viewers",
    ):
        assert text in PAGE


def test_what_it_costs_was_measured_and_is_little() -> None:
    (cost,) = re.findall(r"\*\*watching costs\*\* \| \*\*([\d.]+)\*\*", PAGE)
    (both,) = re.findall(r"one viewer cost\*\* \| \*\*([\d.]+)\*\*", PAGE)
    assert float(cost) < 2
    assert float(both) < 2
    assert re.search(r"takes \d+ KiB", PAGE)


@pytest.mark.parametrize("path", re.findall(r"!\[[^]]+\]\((.+?)\)", PAGE))
def test_a_picture_is_there_and_small(path: str) -> None:
    picture = (ROOT / "docs" / path).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 250_000


def test_the_first_block_is_a_program() -> None:
    assert "main" in defined(BLOCKS[0])


async def test_the_page_is_mounted_as_the_block_does() -> None:
    server = web.Application()
    session = resilient_ws.connect("wss://example.com")
    defined(BLOCKS[1])["mount"](server, session)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/monitor/"
        async with ClientSession() as client, client.get(url) as answer:
            assert answer.status == 200
    finally:
        await runner.cleanup()


async def test_others_are_let_in_as_the_block_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", "a token of twenty-one")
    session = resilient_ws.connect("wss://example.com")
    await session.close()
    await defined(BLOCKS[2])["watch"](session)
