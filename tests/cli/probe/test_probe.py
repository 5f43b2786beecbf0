"""``resilient-ws probe`` finds out what is wrong with real servers."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import ScriptedServer
from tests.cli.command import Command
from tests.cli.probe.servers import CASES


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("name", CASES)
async def test_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    async with (
        case.start(tmp_path) as arguments,
        Command("probe", *arguments, "--json") as command,
    ):
        code, out = await command.ended()
    report = json.loads(out)
    findings = [one for one in report["findings"] if one["step"] == case.step]
    assert any(
        case.says in one["text"]
        and case.advises in one["remedy"]
        and one["grade"] == case.grade
        for one in findings
    ), report
    assert report["works"] is case.works, report
    assert report["options"] == case.options, report
    assert code == (0 if case.works else 1)
    assert command.errors == []


async def test_prints_a_line_for_each_finding() -> None:
    async def pinger(peer: Peer) -> None:
        await peer.accept()
        for _ in range(4):
            await peer.send("tick")
            await peer.ping(b"x")
        await peer.ended()

    async with (
        ScriptedServer(pinger) as server,
        Command("probe", server.url(), "--watch", "1") as command,
    ):
        code, out = await command.ended()
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("ok    TCP          connected to 127.0.0.1:")
    assert any(line.startswith("ok    Its pings    the server pings") for line in lines)
    assert lines[-1].startswith("The defaults suit this server")
    assert "\x1b" not in out


async def test_ctrl_c_ends_the_watch_and_shows_what_was_found() -> None:
    async def quiet(peer: Peer) -> None:
        await peer.accept()
        await peer.ended()

    async with (
        ScriptedServer(quiet) as server,
        Command("probe", server.url(), "--watch", "60") as command,
    ):
        while "Burst" not in await command.line():
            pass
        command.signal(signal.SIGINT)
        code, out = await command.ended()
    assert code == 130
    assert "Interrupted" in out


async def test_no_secret_is_printed(tmp_path: Path) -> None:
    case = CASES["refused"]
    async with case.start(tmp_path) as (url, *rest):
        secret = f"{url}feed?token=PLANTED"
        async with Command("probe", secret, *rest, "--json") as command:
            _, out = await command.ended()
    assert "PLANTED" not in out
