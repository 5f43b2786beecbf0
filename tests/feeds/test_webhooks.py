"""webhook(): signed as the package standardwebhooks checks, and polite to receivers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier, WebhookVerificationError
from tenacity import wait_fixed

from resilient_ws import Access, SecurityError
from resilient_ws.feeds import (
    DeadLetter,
    Gap,
    NotBackfillable,
    Redelivery,
    SinkBusy,
    SinkGone,
    Undeliverable,
    relay,
    webhook,
)
from resilient_ws.testing import (
    BlackHole,
    Cut,
    FaultProxy,
    Healthy,
    Refuse,
    assert_no_leaks,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
OTHER = f"whsec_{base64.b64encode(bytes(24)).decode()}"
EACH_SECOND = Redelivery(wait=wait_fixed(1))


@attrs.define
class Call:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    peer: Any

    @property
    def payload(self) -> Any:
        """The body, once its signature has been verified."""
        return Verifier(SECRET).verify(self.body, self.headers)


class Receiver:
    """A real HTTP server of aiohttp, which answers as it is told."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[web.StreamResponse | float] = []
        self.called = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.calls.append(
            Call(
                path=request.path_qs,
                headers=dict(request.headers),
                body=await request.read(),
                at=asyncio.get_running_loop().time(),
                peer=request.transport.get_extra_info("peername"),
            )
        )
        self.called.set()
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        return answer

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        application = web.Application(client_max_size=4 * 2**20)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(
            application, shutdown_timeout=1, handler_cancellation=True
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with assert_no_leaks(), receiver.serving():
        yield receiver


def url_of(receiver: Receiver, path: str = "/hook/T0K3NT0K3NT0K3N?x=1") -> str:
    return f"http://127.0.0.1:{receiver.port}{path}"


async def feed(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def test_each_item_is_posted_and_verified(receiver: Receiver) -> None:
    gap = Gap(key="ticks", first_missing=3, because=NotBackfillable("no history"))
    sink = webhook(url_of(receiver), SECRET)
    await relay(feed([{"price": 1.5, "text": "ü\ud800"}, gap]), sink)
    first, second = receiver.calls
    assert first.payload == {
        "type": "item",
        "data": {"price": 1.5, "text": "ü\ud800"},
    }
    assert second.payload == {
        "type": "gap",
        "data": {
            "key": "ticks",
            "first_missing": 3,
            "until": None,
            "because": "NotBackfillable: no history",
        },
    }
    assert first.path == "/hook/T0K3NT0K3NT0K3N?x=1"
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


async def test_another_secret_or_body_is_not_verified(receiver: Receiver) -> None:
    await webhook(url_of(receiver), OTHER)({"a": 1}, "id")
    with pytest.raises(WebhookVerificationError):
        _ = receiver.calls[0].payload


async def test_while_secrets_rotate_each_of_them_verifies(receiver: Receiver) -> None:
    await webhook(url_of(receiver), [OTHER, SECRET])({"a": 1}, "id")
    (call,) = receiver.calls
    for secret in (OTHER, SECRET):
        assert Verifier(secret).verify(call.body, call.headers)["data"] == {"a": 1}


async def test_the_id_is_stable_and_the_timestamp_that_of_the_attempt(
    receiver: Receiver,
) -> None:
    receiver.answers = [web.Response(status=500), web.Response(status=503)]
    times = iter([1000.0, 2000.9, 3000.0, 4000.0, 5000.0])
    sink = webhook(url_of(receiver), SECRET, clock=lambda: next(times))
    await relay(feed(["x"]), sink, retry=EACH_SECOND)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    stamps = [call.headers["webhook-timestamp"] for call in receiver.calls]
    assert stamps == ["1000", "3000", "5000"]
    assert len({call.headers["webhook-signature"] for call in receiver.calls}) == 3


async def test_the_callers_id_is_the_webhooks(receiver: Receiver) -> None:
    sink = webhook(url_of(receiver), SECRET)
    await relay(feed([41]), sink, id_of=lambda item: f"tick-{item}")
    assert receiver.calls[0].headers["webhook-id"] == "tick-41"


# What the receiver answers.


def later(status: int, value: str, **more: str) -> web.Response:
    return web.Response(status=status, headers={"Retry-After": value, **more})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_retry_after_in_seconds_is_added_to_the_wait(
    receiver: Receiver, status: int
) -> None:
    receiver.answers = [later(status, "7")]
    await relay(feed([1]), webhook(url_of(receiver), SECRET), retry=EACH_SECOND)
    first, second = (call.at for call in receiver.calls)
    assert second - first == pytest.approx(8)


async def test_retry_after_as_a_date_is_read_against_the_receivers_clock(
    receiver: Receiver,
) -> None:
    wrong = time.time() - 1e6
    date = formatdate(wrong, usegmt=True)
    receiver.answers = [later(503, formatdate(wrong + 60, usegmt=True), Date=date)]
    await relay(feed([1]), webhook(url_of(receiver), SECRET), retry=EACH_SECOND)
    first, second = (call.at for call in receiver.calls)
    assert second - first == pytest.approx(61)


@pytest.mark.parametrize("value", ["99999999999", "1e3", "-5", "soon", "٣", ""])
async def test_retry_after_is_capped_and_nonsense_is_ignored(
    receiver: Receiver, value: str
) -> None:
    receiver.answers = [later(429, value)]
    retry = Redelivery(wait=wait_fixed(1), retry_after_cap=100)
    await relay(feed([1]), webhook(url_of(receiver), SECRET), retry=retry)
    first, second = (call.at for call in receiver.calls)
    expected = 101 if value.startswith("999") else 1
    assert second - first == pytest.approx(expected)


async def test_410_ends_the_relay(receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=410)]
    with pytest.raises(SinkGone, match="410"):
        await relay(feed([1, 2]), webhook(url_of(receiver), SECRET))
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 413, 422])
async def test_other_answers_go_to_the_dead_letter(
    receiver: Receiver, status: int
) -> None:
    elsewhere = {"Location": url_of(receiver, "/elsewhere")}
    receiver.answers = [web.Response(status=status, headers=elsewhere)]
    letters: list[DeadLetter] = []

    async def bury(letter: DeadLetter) -> None:
        letters.append(letter)

    await relay(feed([1, 2]), webhook(url_of(receiver), SECRET), dead_letter=bury)
    assert [(letter.item, letter.attempts) for letter in letters] == [(1, 1)]
    assert str(status) in str(letters[0].because)
    assert [call.payload["data"] for call in receiver.calls] == [1, 2]
    assert {call.path for call in receiver.calls} == {"/hook/T0K3NT0K3NT0K3N?x=1"}


async def test_no_answer_in_time_is_tried_again(receiver: Receiver) -> None:
    receiver.answers = [60.0]
    sink = webhook(url_of(receiver), SECRET, timeout=5)
    await relay(feed([1]), sink, retry=EACH_SECOND)
    first, second = (call.at for call in receiver.calls)
    assert second - first == pytest.approx(6, abs=1)


async def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    receiver = Receiver()
    async with receiver.serving():
        pass
    with pytest.raises(SinkBusy, match="was not reached"):
        await webhook(url_of(receiver), SECRET)(1, "id")


async def test_an_endless_answer_is_not_read(receiver: Receiver) -> None:
    class Endless(web.StreamResponse):
        written = 0

        async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's name
            with contextlib.suppress(ConnectionError):
                while True:
                    await self.write(bytes(65_536))
                    self.written += 65_536

    endless = Endless()
    receiver.answers = [endless]
    async with webhook(url_of(receiver), SECRET) as sink:
        await sink(1, "one")
        await sink(2, "two")
    assert [call.payload["data"] for call in receiver.calls] == [1, 2]
    assert receiver.calls[0].peer != receiver.calls[1].peer


async def test_entered_it_keeps_its_connection(receiver: Receiver) -> None:
    async with webhook(url_of(receiver), SECRET) as sink:
        for number in range(5):
            await sink(number, "id")
    assert len({call.peer for call in receiver.calls}) == 1


async def test_cookies_of_the_receiver_are_not_kept(receiver: Receiver) -> None:
    receiver.answers = [web.Response(headers={"Set-Cookie": "a=b; Path=/"})]
    async with webhook(url_of(receiver), SECRET) as sink:
        await sink(1, "one")
        await sink(2, "two")
    assert "Cookie" not in receiver.calls[1].headers


# What is sent.


async def test_a_body_of_your_own_and_headers(receiver: Receiver) -> None:
    sink = webhook(
        url_of(receiver),
        SECRET,
        body_of=lambda item: f"<{item}>".encode(),
        headers={"content-type": "text/xml", "X-Team": "a"},
    )
    await sink(1, "id")
    (call,) = receiver.calls
    assert call.body == b"<1>"
    assert call.headers["Content-Type"] == "text/xml"
    assert call.headers["X-Team"] == "a"
    Verifier(SECRET).verify(call.body, call.headers, json_parse=False)


async def test_userinfo_becomes_a_header(receiver: Receiver) -> None:
    url = url_of(receiver).replace("//", "//me:pass@")
    await webhook(url, SECRET)(1, "id")
    expected = base64.b64encode(b"me:pass").decode()
    assert receiver.calls[0].headers["Authorization"] == f"Basic {expected}"


async def test_attrs_objects_are_objects_and_others_are_refused(
    receiver: Receiver,
) -> None:
    @attrs.frozen
    class Tick:
        price: float

    sink = webhook(url_of(receiver), SECRET)
    await sink({"ticks": [Tick(1.5)]}, "id")
    assert receiver.calls[0].payload["data"] == {"ticks": [{"price": 1.5}]}
    with pytest.raises(TypeError, match="body_of"):
        await sink(object(), "id")
    with pytest.raises(ValueError, match="JSON"):
        await sink(float("nan"), "id")


async def test_a_body_that_is_too_large_is_not_sent(receiver: Receiver) -> None:
    sink = webhook(url_of(receiver), SECRET, max_body=100)
    with pytest.raises(Undeliverable, match="max_body"):
        await sink("x" * 100, "id")
    assert receiver.calls == []


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a\r\nX: y", "ü", "x" * 257])
async def test_an_id_that_would_change_the_signed_content_is_refused(
    receiver: Receiver, name: str
) -> None:
    with pytest.raises(Undeliverable, match="id of a delivery"):
        await webhook(url_of(receiver), SECRET)(1, name)
    assert receiver.calls == []


# What is refused at once.


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_????", "whsec_" + "A" * 28, "whsec_" + "A" * 120, [], None],
)
def test_a_secret_that_is_none_is_not_shown(secret: Any) -> None:
    with pytest.raises(ValueError, match="secret must") as caught:
        webhook("https://example.com/", secret)
    assert "AAAA" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "example.com", "https://", "https://a b/", "", "wss://x"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        webhook(url, SECRET)


@pytest.mark.parametrize(
    ("name", "value"),
    [("webhook-id", "x"), ("Webhook-Signature", "x"), ("a b", "x"), ("A", "x\r\nB: y")],
)
def test_headers_that_cannot_be_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        webhook("https://example.com/", SECRET, headers={name: value})


@pytest.mark.parametrize(
    ("url", "access", "text"),
    [
        (
            "http://example.com/s3cret",
            Access(),
            r"http://example.com is .* use https://,",
        ),
        ("https://10.1.2.3/", Access(allow_private=False), "not a public address"),
        ("https://localhost/", Access(allow_private=False), "not a public address"),
        ("https://[::1]/", Access(allow_private=False), "not a public address"),
        ("https://example.com/", Access(allowed_hosts=("a.example",)), "allowed_hosts"),
        ("https://example.com:25/", Access(), "blocked_ports"),
    ],
)
def test_access_is_asked_before_anything_is_sent(
    url: str, access: Access, text: str
) -> None:
    with pytest.raises(SecurityError, match=text) as caught:
        webhook(url, SECRET, access=access)
    assert "s3cret" not in str(caught.value)
    assert "ws:" not in str(caught.value)


async def test_a_name_that_leads_to_a_private_address_ends_the_relay(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: Any = 0) -> Any:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host=ip, port=port, family=2, proto=6, flags=0
            )
            for ip in ("127.0.0.1", "10.0.0.1")
        ]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    url = f"https://example.com:{receiver.port}/s3cret"
    sink = webhook(url, SECRET, access=Access(allow_private=False))
    with pytest.raises(SecurityError, match="not a public address") as caught:
        await relay(feed([1]), sink)
    assert "s3cret" not in str(caught.value)
    assert receiver.calls == []


async def test_no_secret_is_shown(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [web.Response(status=500), web.Response(status=410, text="h4sh")]
    sink = webhook(url_of(receiver), SECRET, headers={"Authorization": "b34rer"})
    with pytest.raises(SinkGone) as caught:
        await relay(feed([{"body": "pr1vate"}]), sink, retry=EACH_SECOND)
    told = [one.getMessage() for one in caplog.records if "resilient" in one.name]
    shown = f"{told} {caught.value!r} {caught.value} {sink!r}"
    assert "answered 500" in shown
    for secret in ("T0K3N", SECRET[6:], "b34rer", "pr1vate", "h4sh"):
        assert secret not in shown


async def test_cancelling_an_attempt_leaves_nothing_behind(receiver: Receiver) -> None:
    receiver.answers = [3600.0]
    sending = asyncio.create_task(webhook(url_of(receiver), SECRET)(1, "id"))
    await receiver.called.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert json.loads(receiver.calls[0].body)["data"] == 1


# Real faults, and receivers that are none.


async def test_every_item_arrives_through_faults_with_its_one_id(
    receiver: Receiver,
) -> None:
    """A repeat, where the answer was lost, has the id of the first time."""
    async with FaultProxy("127.0.0.1", receiver.port) as proxy:
        faults = (Refuse(), Healthy(), BlackHole("down"), Cut(10, "down"))
        proxy.play(*(faults * 10))
        url = proxy.url("/hook").replace("ws://", "http://")
        retry = Redelivery(wait=wait_fixed(1))
        # Not entered, so that each attempt is a connection of its own.
        sink = webhook(url, SECRET, timeout=5)
        await relay(feed(range(10)), sink, retry=retry)
    ids: dict[int, set[str]] = {}
    for call in receiver.calls:
        ids.setdefault(call.payload["data"], set()).add(call.headers["webhook-id"])
    assert sorted(ids) == list(range(10))
    assert all(len(names) == 1 for names in ids.values())
    assert len(receiver.calls) > 10, "nothing was ever repeated"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 99999 x\r\n\r\n",
        b"HTTP/1.1 \xff\xfe\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n",
        b"HTTP/1.1 503 x\r\nRetry-After: \xff\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_tried_again(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SinkBusy):
            await webhook(f"http://127.0.0.1:{port}/", SECRET, timeout=5)(1, "id")


async def test_an_answer_that_breaks_off_behind_its_status_counts() -> None:
    """The receiver has it: to send it again would be a repeat for nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await webhook(f"http://127.0.0.1:{port}/", SECRET)(1, "id")


@pytest.mark.parametrize("more", [{"timeout": 0}, {"timeout": -1}, {"max_body": 0}])
def test_impossible_numbers_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(more))):
        webhook("https://example.com/", SECRET, **more)
