"""slack_sdk and Bolt on sessions, against a server written from Slack's documentation."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from resilient_ws import Fatal, ResilientWSError, connect
from resilient_ws.adapters.bolt import AsyncSocketModeHandler
from resilient_ws.adapters.slack import SocketModeClient
from tests.adapters.slack_server import APP_TOKEN, bye, envelope, slack_server
from tests.feeds.talk import until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from slack_sdk.socket_mode.request import SocketModeRequest

    from resilient_ws.testing import Peer
    from tests.adapters.slack_server import SlackServer


def ack(number: int, **more: Any) -> Callable[[str | bytes], bool]:
    return lambda message: json.loads(message) == {"envelope_id": f"e{number}", **more}


class Bot:
    """A program as slack_sdk's documentation has it."""

    def __init__(self, slack: SlackServer, **options: Any) -> None:
        web_client = AsyncWebClient("xoxb-secret", base_url=slack.api)
        self.client = SocketModeClient(APP_TOKEN, web_client, **options)
        self.client.socket_mode_request_listeners.append(self.process)
        self.got: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def process(self, client: Any, request: SocketModeRequest) -> None:
        self.got.append(request.envelope_id)
        await self.go.wait()
        await client.send_socket_mode_response(SocketModeResponse(request.envelope_id))


@contextlib.asynccontextmanager
async def bot(**options: Any) -> AsyncIterator[tuple[SlackServer, Bot, Peer]]:
    """A server, and a bot that it has greeted."""
    async with slack_server() as slack:
        bot = Bot(slack, **options)
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(bot.client.connect())
            peer = await slack.greeted()
            await connecting
        try:
            yield slack, bot, peer
        finally:
            await bot.client.close()


async def test_an_envelope_is_answered_where_it_came() -> None:
    async with bot() as (slack, program, peer):
        assert await program.client.is_connected()
        await peer.send(envelope(1), envelope(2))
        await peer.expect(ack(1))
        await peer.expect(ack(2))
        assert program.got == ["e1", "e2"]
    assert len(slack.given) == 1
    assert not await program.client.is_connected()


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_the_new_connection_is_open_before_the_old_one_is_left(
    reason: str,
) -> None:
    async with bot(linger=5.0) as (slack, program, old):
        await old.send(bye(reason), envelope(1))
        await old.expect(ack(1))
        program.go.clear()
        await old.send(envelope(2))
        new = await slack.greeted()
        # Both are read, and each answer goes where its envelope came.
        await new.send(envelope(3))
        await asyncio.sleep(1)
        assert program.got == ["e1", "e2", "e3"]
        program.go.set()
        await new.expect(ack(3))
        await old.expect(ack(2))
        assert not old.gone
        await old.goodbye()
        await old.ended()
        assert not new.gone
        await new.send(envelope(4))
        await new.expect(ack(4))
    assert len(slack.given) == 2


async def test_slack_leaves_the_old_connection_first() -> None:
    async with bot(linger=60.0) as (slack, _, old):
        await old.send(bye("refresh_requested"))
        new = await slack.greeted()
        await old.close()
        await asyncio.sleep(30)
        await new.send(envelope(1))
        await new.expect(ack(1))
    assert len(slack.given) == 2  # the old one was not dialled again


async def test_one_wish_is_enough() -> None:
    async with bot() as (slack, _, old):
        await old.send(bye("warning"), bye("refresh_requested"), bye("warning"))
        await slack.greeted()
        await asyncio.sleep(120)
    assert len(slack.given) == 2


@pytest.mark.parametrize("reason", ["too_many_websockets", "link_disabled", 7, None])
async def test_the_old_connection_is_left_first_where_it_must_be(reason: Any) -> None:
    async with bot() as (slack, _, old):
        await old.send(bye(reason))
        await old.goodbye()
        new = await slack.greeted()
        await new.send(envelope(1))
        await new.expect(ack(1))
    assert len(slack.given) == 2


async def test_too_many_is_no_hot_loop() -> None:
    async with bot() as (slack, _, first):
        peer = first
        for _ in range(7):
            await peer.send(bye("too_many_websockets"))
            peer = await slack.greeted(within=70)
        began = slack.sockets.dials[0]
        assert slack.sockets.dials[-1] - began > 60


async def test_slack_that_ends_a_connection_instead_of_a_hello() -> None:
    async with slack_server() as slack:
        program = Bot(slack)
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(program.client.connect())
            peer = await slack.sockets.accept()
            await peer.send(bye("too_many_websockets"))
            await slack.greeted()
            await connecting
        assert len(slack.given) == 2
        await program.client.close()


async def test_a_drop_brings_a_new_url_and_the_answer_is_not_sent_there() -> None:
    async with bot() as (slack, program, old):
        program.go.clear()
        await old.send(envelope(1))
        await asyncio.sleep(0.1)
        await old.reset()
        new = await slack.greeted()
        program.go.set()
        await new.send(envelope(2))
        await new.expect(ack(2))
        # Slack sends the event again: it was answered, so it is answered again.
        await new.send(envelope(1, envelope_id="e1-again", retry_attempt=1))
        again = {"envelope_id": "e1-again"}
        await new.expect(lambda message: json.loads(message) == again)
        assert program.got == ["e1", "e2"]
    assert len(slack.given) == 2


async def test_an_event_that_was_not_answered_comes_again() -> None:
    async with bot() as (slack, program, old):
        program.go.clear()
        await old.send(envelope(1))
        await asyncio.sleep(0.1)
        await old.reset()
        new = await slack.greeted()
        await new.send(envelope(1, envelope_id="e1-again", retry_attempt=1))
        await asyncio.sleep(0.1)
        assert program.got == ["e1", "e1-again"]
        program.go.set()
        again = {"envelope_id": "e1-again"}
        await new.expect(lambda message: json.loads(message) == again)


async def test_the_listeners_are_bounded_and_the_rest_waits() -> None:
    async with bot(concurrency=3) as (_, program, peer):
        program.go.clear()
        await peer.send(*[envelope(n) for n in range(500)])
        await asyncio.sleep(1)
        assert program.got == ["e0", "e1", "e2"]
        program.go.set()
        for number in range(500):
            await peer.expect(ack(number))


async def test_one_at_a_time_is_in_order() -> None:
    async with bot(concurrency=1) as (_, program, peer):
        await peer.send(*[envelope(n) for n in range(100)])
        for number in range(100):
            await peer.expect(ack(number))
        assert program.got == [f"e{n}" for n in range(100)]


HOSTILE = ["", "{", "null", "[1]", "[" * 100_000, "{}", '{"type":null}', '{"type":"x"}']


async def test_what_makes_no_sense_does_no_harm() -> None:
    odd = [
        json.dumps({"envelope_id": []}),
        json.dumps({"envelope_id": 1, "payload": 7}),
    ]
    async with bot() as (_, program, peer):
        await peer.send(*HOSTILE, *odd, b"\xff", envelope(1))
        await peer.expect(ack(1))
        assert program.got == ["e1"]


async def test_a_listener_that_fails_is_logged_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bot() as (_, program, peer):

        async def fails(*_: object) -> None:
            raise KeyError("listener")

        program.client.socket_mode_request_listeners.insert(0, fails)
        await peer.send(envelope(1))
        await peer.expect(ack(1))
    assert "Failed to run a request listener" in caplog.text


async def test_a_token_that_slack_refuses_is_final() -> None:
    async with slack_server() as slack:
        program = Bot(slack)
        program.client.app_token = "xapp-wrong"
        with pytest.raises(Fatal, match="invalid_auth") as refused:
            await program.client.connect()
        assert "xapp" not in str(refused.value)
        assert slack.asked == 1
        await program.client.close()


async def test_slack_that_asks_for_patience_gets_it() -> None:
    async with slack_server() as slack:
        slack.errors.append(("ratelimited", {"Retry-After": "20"}))
        program = Bot(slack, session=functools.partial(connect, wait_open=300))
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(program.client.connect())
            await slack.greeted(within=300)
            await connecting
        assert loop.time() - began > 20
        assert slack.asked == 2
        await program.client.close()


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        ("<html>", {}),
        ("ratelimited", {}),
        ("ratelimited", {"Retry-After": "soon"}),
        ("x" * 10_000, {}),
    ],
)
async def test_answers_that_are_no_answers(error: str, headers: dict[str, str]) -> None:
    async with slack_server() as slack:
        slack.errors.append((error, headers))
        program = Bot(slack, session=functools.partial(connect, wait_open=300))
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(program.client.connect())
            await slack.greeted(within=300)
            await connecting
        await program.client.close()


async def test_slack_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    async with slack_server() as slack:
        slack.errors += [("internal_error", {})] * 100
        program = Bot(slack, session=functools.partial(connect, wait_open=10))
        with pytest.raises(ResilientWSError, match="url callable"):
            await program.client.connect()
        assert "internal_error" in caplog.text
        assert 1 < slack.asked < 20
        await program.client.close()


async def test_the_end_of_the_sessions_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bot() as (slack, program, peer):
        slack.errors.append(("token_revoked", {}))
        await peer.reset()
        await until(lambda: "Socket Mode has ended" in caplog.text)
        assert not await program.client.is_connected()
        with pytest.raises(ConnectionError):
            await program.client.send_message("{}")


async def test_it_connects_again_after_it_was_disconnected() -> None:
    async with bot() as (slack, program, first):
        peer = first
        await program.client.connect()  # it is connected
        await program.client.disconnect()
        await program.client.disconnect()
        for force, dials in ((False, 1), (False, 0), (True, 1)):
            async with asyncio.TaskGroup() as group:
                renew = program.client.connect_to_new_endpoint
                connecting = group.create_task(renew(force))
                for _ in range(dials):
                    peer = await slack.greeted()
                await connecting
        await peer.send(envelope(1))
        await peer.expect(ack(1))
        assert await program.client.session_id() == "s_2"
    assert len(slack.given) == 3


async def test_connecting_can_be_cancelled() -> None:
    async with slack_server() as slack:
        program = Bot(slack)
        connecting = asyncio.create_task(program.client.connect())
        await slack.sockets.accept()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not await program.client.is_connected()
        await program.client.close()
        with pytest.raises(RuntimeError, match="was closed"):
            await program.client.connect()


async def test_wrong_arguments_are_named() -> None:
    wrong: Any = connect("ws://127.0.0.1")
    with pytest.raises(TypeError, match=r"session must be .*partial\(connect"):
        SocketModeClient("xapp", session=wrong)
    with pytest.raises(ValueError, match="concurrency must be 1"):
        SocketModeClient("xapp", concurrency=0)


async def test_a_bolt_app_answers() -> None:
    async with slack_server() as slack:
        heard: list[str] = []

        async def authorize(**_: object) -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None, team_id="T1", bot_id="B1", bot_user_id="U1"
            )

        app = AsyncApp(
            client=AsyncWebClient("xoxb-secret", base_url=slack.api),
            signing_secret="secret",
            authorize=authorize,
        )

        @app.event("app_mention")
        async def mention(event: dict[str, Any]) -> None:
            heard.append(event["text"])

        @app.command("/hello")
        async def hello(ack: Any) -> None:
            await ack("hello to you")

        handler: Any = AsyncSocketModeHandler(app, APP_TOKEN)
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(handler.connect_async())
            peer = await slack.greeted()
            await connecting
        await peer.send(envelope(1))
        await peer.expect(ack(1))
        assert heard == ["<@U1> 1"]
        command = {"command": "/hello", "team_id": "T1", "user_id": "U2", "text": ""}
        await peer.send(envelope(2, "slash_commands", payload=command))
        await peer.expect(ack(2, payload={"text": "hello to you"}))
        await handler.close_async()
