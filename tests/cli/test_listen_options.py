"""The options of ``listen`` that concern the server, the output and the recording."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest
import trustme

from resilient_ws.recording import read
from resilient_ws.testing import ScriptedServer
from tests.cli.command import Command
from tests.servers.daemons import Identity, Nginx
from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.proxies import PASSWORD, USER, Squid


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire


async def test_through_nginx_with_tls_and_through_squid_with_a_password(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    authority = trustme.CA()
    chain, issuer = tmp_path / "server.pem", tmp_path / "issuer.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(chain)
    authority.cert_pem.write_to_path(issuer)
    (tmp_path / "nginx").mkdir()
    front = Nginx(tmp_path / "nginx", websockets_server.port, tls=Identity(chain))
    proxy = Squid(tmp_path, password=True)
    async with front, proxy:
        options = [
            "--cafile",
            str(issuer),
            "--count",
            "1",
            "--origin",
            "https://a.example",
        ]
        options += ["--proxy", proxy.proxy_url(f"{USER}:{PASSWORD}@")]
        async with Command("listen", f"{front.url}/feed?n=1", *options) as command:
            assert await command.ended() == (0, "1\n")
    assert not any(PASSWORD in line for line in command.errors)
    (entry,) = await websockets_server.logged("open")
    assert entry["headers"]["origin"] == "https://a.example"


async def test_indents_and_tells_the_time() -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.send('{"price":1.10}', "plain")
        await peer.ended()

    async with ScriptedServer(serve) as server:
        options = ("--pretty", "--timestamps", "--count", "2")
        async with Command("listen", server.url(), *options) as command:
            code, out = await command.ended()
    assert code == 0
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(f'{time} {{\n  "price": 1.10\n}}\n{time} plain\n', out), out


async def test_records_for_replay(tmp_path: Path) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.expect("login PLANTED-IN-HEADER")
        await peer.send("one PLANTED-IN-QUERY", "two")
        await peer.ended()

    path = tmp_path / "run.jsonl.zst"
    async with ScriptedServer(serve) as server:
        options = ["--record", str(path), "--on-open", "login PLANTED-IN-HEADER"]
        options += ["--header", "X-Token: PLANTED-IN-HEADER", "--count", "2"]
        url = server.url("/feed?token=PLANTED-IN-QUERY")
        async with Command("listen", url, *options) as command:
            assert (await command.ended())[0] == 0
    heard = [entry.data for entry in read(path) if entry.is_message]
    assert heard == ["login ***", "one ***", "two"]
    async with Command("replay", str(path), "--speed", "inf") as replay:
        served = (await replay.line()).split()[0]
        options = ["--count", "2", "--on-open", "login"]
        async with Command("listen", served, *options) as command:
            assert await command.ended() == (0, "one ***\ntwo\n")
        assert await replay.ended() == (0, "2 messages were sent\n")


async def test_a_recording_that_cannot_be_written_ends_the_command() -> None:
    url = f"ws://{HOST}:{free_port()}/"
    async with Command("listen", url, "--record", "/nowhere/x") as command:
        assert await command.ended() == (1, "")
    (line,) = command.errors
    assert "--record: the file cannot be written: No such file" in line


async def test_says_that_it_connects_when_nothing_happens() -> None:
    async with (
        ScriptedServer() as server,
        Command("listen", server.url(), "--name", "bot") as command,
    ):
        assert await command.told("connecting") == "bot: connecting..."
        command.signal(signal.SIGINT)
        assert (await command.ended())[0] == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--cafile", "/nowhere"], "--cafile: /nowhere cannot be read: No such file"),
        (["--cafile", __file__], "holds no certificates in PEM"),
        (["--proxy", "ftp://x"], "--proxy must be"),
        (["--origin", "a b\r"], "--origin"),
        (["--idle", "0"], "--idle must be"),
        (["--ping", "-1"], "--ping"),
        (["--name", ""], "--name must be"),
    ],
)
async def test_wrong_options_are_told_by_their_names(
    options: list[str], complaint: str
) -> None:
    async with Command("listen", "ws://localhost:9000/", *options) as command:
        assert await command.ended() == (2, "")
    (line,) = command.errors
    assert complaint in line


async def test_silence_is_noticed_by_the_options() -> None:
    async def silent(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.ended()

    async with ScriptedServer(silent) as server:
        options = ("--ping", "0", "--idle", "0.3", "--json-events")
        async with Command("listen", server.url(), *options) as command:
            event = json.loads(await command.told("ConnectionTimedOut"))
            assert event["kind"] == "idle"
            command.signal(signal.SIGINT)
            await command.ended()


async def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jsonl")
    async with Command("replay", missing) as replay:
        assert await replay.ended() == (1, "")
    assert replay.errors == [
        f"resilient-ws: {missing} cannot be read: No such file or directory"
    ]
