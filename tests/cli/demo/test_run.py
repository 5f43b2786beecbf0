"""``resilient-ws demo``, from its first line to its last."""

from __future__ import annotations

import pathlib
import re
import signal

import pytest

from resilient_ws.cli.demo.scenario import SCENARIO
from resilient_ws.cli.version_text import version_text
from tests.cli.command import Command


pytestmark = pytest.mark.wire


def servers_at(port: str) -> list[str]:
    """The command lines of this machine that serve a demo at this port."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if port in words and any("cli.demo.server" in word for word in words):
            found.append(" ".join(words))
    return found


def port_of(title: str) -> str:
    match = re.search(r"ws://127\.0\.0\.1:(\d+)/feed", title)
    assert match is not None, title
    return match[1]


def figures_of(out: str) -> dict[str, list[int]]:
    """The numbers of the summary, by the words before them: down first, then up."""
    figures: dict[str, list[int]] = {}
    table = out[out.index("down: sent") :]
    for line in table.splitlines():
        if match := re.match(r"\s*(?:\w+:)?\s*(\D+?)\s+(\d+)\b", line):
            figures.setdefault(match[1], []).append(int(match[2]))
    return figures


async def test_the_demo_keeps_its_word() -> None:
    async with Command("demo") as command:
        # It takes a third of that on a machine that has nothing else to do.
        code, out = await command.ended(within=60.0)
    assert code == 0, out
    assert f"This is {version_text()}." in out
    assert not servers_at(port_of(out))
    for step in SCENARIO:
        assert step.story in out
        assert re.search(
            rf"^ *{step.name} +\d+\.\d\d s +\d+\.\d\d s +\d+\.\d\d s", out, re.MULTILINE
        )
    figures = figures_of(out)
    silent_down, silent_up = figures["lost in silence"]
    assert silent_down == silent_up == 0
    (sent,), (received,) = figures["sent by the server"], figures["received"]
    (missed,), (lost,) = figures["missed while away"], figures["lost on the way"]
    assert sent == received + missed + lost + silent_down
    assert received > 0
    assert missed > 0
    (accepted,), (delivered,) = figures["accepted by send()"], figures["delivered"]
    (in_flight,), (refused,) = figures["in flight at a drop"], figures["refused"]
    assert accepted == delivered + in_flight + refused + silent_up
    assert delivered > received
    assert "Nothing was lost in silence" in out


async def test_an_interrupted_demo_leaves_no_server_behind_not_even_a_frozen_one() -> (
    None
):
    async with Command("demo") as command:
        port = port_of(await command.line())
        while "kill -STOP" not in (line := await command.line()):
            assert "LOST" not in line
        assert servers_at(port)
        command.signal(signal.SIGINT)
        code, _ = await command.ended()
    assert code == 130
    assert not servers_at(port)
