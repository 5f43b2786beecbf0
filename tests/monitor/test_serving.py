"""The page as a program gets it: what is served to whom, and what never is."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import json
import ssl as ssl_module
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from aiohttp import web

import resilient_ws
from resilient_ws import monitor
from resilient_ws.monitor.viewers import MOST_VIEWERS, WRONG_TOKEN
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer


TOKEN = "a token of twenty-one"
FILES = ("index.html", "icon.svg", "monitor.css", "monitor.js")


@pytest.fixture
def session() -> Session:
    return resilient_ws.connect("wss://example.com", name="bot")


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def heard(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    async with asyncio.timeout(20):
        while True:
            told: dict[str, Any] = json.loads(await socket.receive_str())
            if told["type"] == kind:
                return told


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code with which the server closes."""
    async with asyncio.timeout(20):
        async for _ in socket:
            pass
    return socket.close_code


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_page_is_in_the_package_and_fetches_nothing(name: str) -> None:
    text = (
        importlib.resources.files("resilient_ws.monitor") / "page" / name
    ).read_text()
    assert text
    links = text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in links
    assert "https:" not in links.replace('"https:"', "")
    assert "innerHTML" not in text
    assert "style=" not in text


def test_the_wheel_takes_the_whole_package() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'only-include = ["pytest_resilient_ws.py", "resilient_ws"]' in text
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert not {*FILES, "*.html", "*.css", "*.js", "*.svg"} & set(ignored)


async def test_every_answer_forbids_what_the_page_does_not_need(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with monitor.serve(session) as page:
        for path in ("", "monitor.css", "monitor.js", "icon.svg", "nothing-here"):
            async with client.get(page.url + path) as answer:
                assert answer.status == (404 if path == "nothing-here" else 200)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "script-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_nothing_can_be_changed(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with monitor.serve(session) as page:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with client.request(method, page.url) as answer:
                assert answer.status == 405


async def test_another_name_and_another_site_get_nothing(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with monitor.serve(session) as page:
        for path in ("", "monitor.js", "live"):
            headers = {"Host": "evil.example.com"}
            async with client.get(page.url + path, headers=headers) as answer:
                assert answer.status == 421
                assert "hosts=[...]" in await answer.text()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(page.url + "live", origin="http://evil.example.com")
        assert refused.value.status == 403


async def test_a_viewer_hears_of_every_turn_and_of_the_session_it_asks_for(
    server: ScriptedServer, client: aiohttp.ClientSession
) -> None:
    async with (
        resilient_ws.connect(server.url("/feed"), name="bot") as session,
        monitor.serve(session, title="my bot") as page,
        client.ws_connect(page.url + "live", origin=page.url.rstrip("/")) as socket,
    ):
        hello = await heard(socket, "hello")
        assert hello["title"] == "my bot"
        turn = await heard(socket, "turn")
        (row,) = turn["rows"]
        assert dict(zip(hello["columns"], row, strict=True))["state"] == "open"

        await socket.send_str('{"session": 1, "span": "30m"}')
        detail = await heard(socket, "session")
        assert (detail["id"], detail["name"], detail["span"]) == (1, "bot", "30m")
        assert detail["limits"]["outbox"] == 1000

        await socket.send_str('{"session": 99}')
        assert (await heard(socket, "gone"))["id"] == 99
        assert (await heard(socket, "turn"))["ids"] == [1]


@pytest.mark.usefixtures("without_collection")
async def test_nonsense_of_a_viewer_does_no_harm(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with (
        monitor.serve(session) as page,
        client.ws_connect(page.url + "live") as socket,
    ):
        for nonsense in (
            "",
            "[]",
            "7",
            "{",
            "[" * 4000,
            '{"span": ["2m"], "session": "1"}',
            '{"span": "__class__", "session": 1e999}',
        ):
            await socket.send_str(nonsense)
        await socket.send_bytes(b"\0")
        await heard(socket, "turn")
        await heard(socket, "turn")
        await socket.send_str("x" * 5000)
        assert await closed(socket) == 1009


# Beyond this machine.


async def test_without_the_token_nothing_is_told(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with monitor.serve(session, token=TOKEN) as page:
        for shown in ('{"token": "wrong, wrong, wrong"}', "{}", '{"session": 1}', "7"):
            async with client.ws_connect(page.url + "live") as socket:
                assert await socket.receive_str() == '{"type":"locked"}'
                await socket.send_str(shown)
                assert await closed(socket) == WRONG_TOKEN
        assert TOKEN not in page.url


async def test_with_the_token_in_a_message_or_a_header_everything_is_told(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with monitor.serve(session, token=TOKEN) as page:
        async with client.ws_connect(page.url + "live") as socket:
            await heard(socket, "locked")
            await socket.send_json({"token": TOKEN})
            await heard(socket, "turn")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with client.ws_connect(page.url + "live", headers=headers) as socket:
            assert (await socket.receive_json())["type"] == "hello"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "bot.example.com"])
async def test_others_may_look_only_with_a_token(session: Session, host: str) -> None:
    with pytest.raises(ValueError, match="give token too"):
        async with monitor.serve(session, host=host):
            pass


async def test_it_is_served_over_tls(
    session: Session,
    client: aiohttp.ClientSession,
    tls: tuple[ssl_module.SSLContext, ssl_module.SSLContext],
) -> None:
    server_side, client_side = tls
    async with monitor.serve(session, ssl=server_side) as page:
        assert page.url.startswith("https://127.0.0.1:")
        async with client.get(page.url, ssl=client_side) as answer:
            assert answer.status == 200


@pytest.fixture
def tls() -> tuple[ssl_module.SSLContext, ssl_module.SSLContext]:
    authority = trustme.CA()
    server_side = ssl_module.create_default_context(ssl_module.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl_module.create_default_context()
    authority.configure_trust(client_side)
    return server_side, client_side


# In a server of the user's, and at the end.


async def test_it_is_mounted_in_a_server_of_yours(
    session: Session, client: aiohttp.ClientSession
) -> None:
    yours = web.Application()
    yours.add_subapp("/monitor/", monitor.app(session))
    runner = web.AppRunner(yours, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with client.get(f"{url}/monitor/") as answer:
            assert "Content-Security-Policy" in answer.headers
            assert "monitor.js" in await answer.text()
        async with client.get(f"{url}/else") as answer:
            assert "Content-Security-Policy" not in answer.headers
        async with client.ws_connect(f"{url}/monitor/live") as socket:
            assert (await heard(socket, "turn"))["ids"] == [1]
    finally:
        await runner.cleanup()


async def test_at_the_end_viewers_are_told_and_nothing_is_left(
    server: ScriptedServer, client: aiohttp.ClientSession
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        page = await (serving := monitor.serve(session)).__aenter__()
        async with client.ws_connect(page.url + "live") as socket:
            await heard(socket, "turn")
            ending = asyncio.create_task(serving.__aexit__(None, None, None))
            assert await closed(socket) == 1001
            await ending
        assert not session._callbacks
        await session.ping()


async def test_there_are_not_more_viewers_than_a_program_can_bear(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        page = await stack.enter_async_context(monitor.serve(session))
        for _ in range(MOST_VIEWERS):
            socket = await stack.enter_async_context(
                client.ws_connect(page.url + "live")
            )
            await heard(socket, "hello")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(page.url + "live")
        assert refused.value.status == 503


async def test_those_without_the_token_keep_nobody_out(
    session: Session, client: aiohttp.ClientSession
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        page = await stack.enter_async_context(monitor.serve(session, token=TOKEN))
        strangers = []
        for _ in range(MOST_VIEWERS + 1):
            stranger = client.ws_connect(page.url + "live")
            strangers.append(await stack.enter_async_context(stranger))
            await heard(strangers[-1], "locked")
        assert await closed(strangers[0]) == 1013
        async with client.ws_connect(page.url + "live") as socket:
            await heard(socket, "locked")
            await socket.send_json({"token": TOKEN})
            await heard(socket, "turn")


async def test_a_port_that_is_taken_is_an_error(session: Session) -> None:
    async with monitor.serve(session) as page:
        with pytest.raises(OSError, match="in use"):
            async with monitor.serve(session, port=page.port):
                pass
