"""Wrong arguments are refused where they are given, by their name, and shown to nobody."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

import pytest

from resilient_ws.feeds import (
    Books,
    BookSource,
    Channel,
    Plain,
    Requests,
    SinkBusy,
    Source,
    SubscribeRefused,
    batches,
    email,
    merge,
    overlap,
    recovering,
    webhook,
)
from resilient_ws.feeds.evm import (
    HTTPEndpoint,
    Limits,
    LogFilter,
    heads,
    logs,
    pending_transactions,
)
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.feeds.protocols import (
    MQTT,
    Discord,
    GraphQL,
    HomeAssistant,
    Phoenix,
)
from tests.feeds.scripted_session import ScriptedSession
from tests.record import turns


URL = "https://example.com/"
SECRET = "whsec_" + "A" * 40


async def ask(*_: Any) -> str:
    return "k"


def session() -> Any:
    return ScriptedSession().session


def client() -> Client:
    return Client(session())


def signed(url: str, **how: Any) -> object:
    return webhook(url, SECRET, **how)


def books_of(**how: Any) -> BookSource[Any, Any, Any]:
    needed: dict[str, Any] = {
        "subscribe": ask,
        "make": list,
        "apply": print,
        "is_snapshot": bool,
    }
    return BookSource(**{**needed, **how})


def merged(**how: Any) -> object:
    needed: dict[str, Any] = {"identity": str}
    return merge(**{**needed, **how})


def mailed(**how: Any) -> object:
    return email("localhost", sender="a@example.com", to="b@example.com", **how)


def recovered(**how: Any) -> object:
    needed = dict.fromkeys(("subscribe", "history", "parts", "unsubscribe"), ask)
    return recovering(**{**needed, **how})


def batched(**how: Any) -> object:
    async def feed() -> Any:
        yield 1

    needed: dict[str, Any] = {"items": feed(), "within": 1.0}
    return batches(**{**needed, **how})


def wrong_for(name: str, *more: object) -> tuple[dict[str, Any], ...]:
    """Return what no number of seconds, and no count, can be."""
    wrong = (math.nan, math.inf, -math.inf, -1, True, "3", b"3", [1], *more)
    return tuple({name: value} for value in wrong)


CHANNEL: tuple[dict[str, Any], ...] = (
    {"timeout": 0},
    {"timeout": -1},
    {"timeout": math.nan},
    {"timeout": "3"},
    {"timeout": None},
    {"max_in_flight": 0},
    {"max_in_flight": 1.5},
    {"rate": 0},
    {"rate": "x"},
    {"report": 5},
)
NO_WAIT: tuple[Any, ...] = (math.nan, -math.inf, -1, True, "3", None)
CHAIN_SECONDS = ("lag_patience", "settle", "stale_after", "poll_interval")
LIMIT_COUNTS = ("max_range", "max_results", "window", "attempts")
#: What is made, what it needs beside, and what is wrong. A function is called for it.
CASES: tuple[tuple[Any, dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    (Channel, {"session": session}, CHANNEL),
    (
        Channel,
        {"session": session},
        (
            {"session": None},
            {"session": URL},
            {"protocol": Plain},
            {"protocol": 5},
            {"early": -1},
            {"on_rotate": 5},
        ),
    ),
    (Client, {"session": session}, CHANNEL),
    (
        Client,
        {"session": session},
        (
            {"session": None},
            {"loads": 5},
            {"dumps": "x"},
            {"repeatable": True},
            {"item_of": None},
        ),
    ),
    (
        Source,
        {},
        (
            {"subscribe": 5},
            {"keys": "abc"},
            {"keys": 5},
            {"parse": 5},
            {"cursor_of": 5},
            {"follows": 5},
            {"identity": 5},
            {"probe": 5},
            {"window": "x"},
            {"stale_after": 0},
            {"stale_after": "x"},
            {"stale_after": math.nan},
        ),
    ),
    (
        books_of,
        {},
        ({"make": 5}, {"apply": None}, {"is_snapshot": 5}, {"stale_after": -1}),
    ),
    (
        merged,
        {},
        ({"identity": 5}, {"window": "x"}, {"patience": -1}, {"patience": math.nan}),
    ),
    (
        webhook,
        {"url": URL, "secret": SECRET},
        (
            {"url": 5},
            {"secret": b"x"},
            {"access": 5},
            {"headers": 5},
            {"headers": {"a": 5}},
            {"headers": {"a b": "c"}},
        ),
    ),
    (
        HTTPEndpoint,
        {"url": URL},
        (
            {"url": None},
            {"access": 5},
            {"headers": 5},
            {"headers": {"a": 5}},
            {"headers": {"a b": "c"}},
        ),
    ),
    (webhook, {"url": URL, "secret": SECRET}, wrong_for("timeout", 0, None)),
    (webhook, {"url": URL, "secret": SECRET}, wrong_for("max_body", 0, 1.5)),
    (HTTPEndpoint, {"url": URL}, wrong_for("timeout", 0, None)),
    (HTTPEndpoint, {"url": URL}, wrong_for("max_answer", 0, 1.5)),
    (mailed, {}, wrong_for("port", 0, 65_536, 25.0)),
    (mailed, {}, wrong_for("timeout", 0, None)),
    (mailed, {}, wrong_for("max_body", 0, 1.5)),
    (recovered, {}, ({"subscribe": 5}, {"history": None}, {"parts": "x"})),
    (recovered, {}, wrong_for("page", 0, 1.5)),
    (batched, {}, wrong_for("within", None)),
    (batched, {}, wrong_for("most", 0, 1.5)),
    (batched, {}, ({"items": 5}, {"items": [1]})),
    (SinkBusy, {"message": "busy"}, tuple({"retry_after": v} for v in NO_WAIT)),
    (MQTT, {}, wrong_for("keep", 1 << 32, 1.5)),
    (MQTT, {}, wrong_for("keepalive", 1 << 16, 1.5)),
    (MQTT, {}, wrong_for("in_flight", 0, 1 << 16, 1.5)),
    (MQTT, {}, wrong_for("max_packet", 0, 1 << 32, 1.5)),
    (MQTT, {}, ({"version": 3}, {"version": "5"})),
    (MQTT().messages, {"filter": "a"}, wrong_for("qos", 2, 0.5)),
    (Discord, {"url": URL, "token": "t"}, wrong_for("intents", None, 1.5)),
    (GraphQL, {}, wrong_for("ping_interval", 0)),
    (HomeAssistant, {"token": "t"}, wrong_for("ping_interval", 0)),
    (Phoenix, {}, wrong_for("heartbeat", 0, None)),
    (heads, {"client": client}, wrong_for("after")),
    (heads, {"client": client}, wrong_for("max_reorg", 0)),
    (heads, {"client": client}, wrong_for("confirmations", 1.5)),
    *((heads, {"client": client}, wrong_for(name, 0)) for name in CHAIN_SECONDS),
    *((Limits, {}, wrong_for(name, 1.5)) for name in LIMIT_COUNTS),
    *((Limits, {}, wrong_for(name)) for name in ("first_backoff", "max_backoff")),
    (heads, {"client": client}, ({"client": URL}, {"history": URL})),
    (
        logs,
        {"client": client, "filter": LogFilter()},
        ({"client": None}, {"history": 5}),
    ),
    (
        pending_transactions,
        {"client": client},
        ({"client": "x"}, {"buffer": "x"}, {"buffer": 0}),
    ),
)


@pytest.mark.parametrize(
    ("make", "right", "wrong"),
    [
        pytest.param(make, right, wrong, id=f"{make.__name__}-{wrong}")
        for make, right, wrongs in CASES
        for wrong in wrongs
    ],
)
async def test_a_wrong_argument_is_named(
    make: Any, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    needed = {n: v() if callable(v) else v for n, v in right.items() if n not in wrong}
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        make(**needed, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"open": 5}, *wrong_for("linger"), *wrong_for("window", 1.5)], ids=str
)
async def test_overlap_with_a_wrong_argument_opens_no_leg(wrong: Any) -> None:
    opened: list[object] = []
    arguments: dict[str, Any] = {"open": opened.append, "identity": str, **wrong}
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(wrong))} must be"):
        async with overlap(**arguments):
            pass
    assert opened == []


@pytest.mark.parametrize("wrong", wrong_for("timeout"), ids=str)
async def test_a_timeout_that_is_none_is_refused_and_nothing_is_sent(
    wrong: dict[str, Any],
) -> None:
    server = ScriptedSession()
    told: list[Requests] = []

    async def subscribe(requests: Requests) -> str:
        told.append(requests)
        return "k"

    async with Client(server.session) as asking:
        server.open()
        await turns()
        channel = asking.channel
        await channel.subscribe(Source[Any, Any](subscribe=subscribe))
        for calling in (
            asking.call("read", **wrong),
            asking.batch([("read", ())], **wrong),
            channel.call([1], "[]", **wrong),
            channel.ask(1, "[]", **wrong),
            channel.send("[]", **wrong),
            told[0].ask(1, "[]", **wrong),
        ):
            with pytest.raises((TypeError, ValueError), match=r"^timeout must be a nu"):
                await calling
        assert server.sent == []
        assert channel.statistics().calls_in_flight == 0


@pytest.mark.parametrize("qos", [2, True, math.nan])
async def test_a_quality_that_is_not_spoken_is_refused(qos: Any) -> None:
    async with Channel(session()) as channel:
        with pytest.raises((TypeError, ValueError), match="qos must be a whole number"):
            await MQTT().publish(channel, "topic", b"", qos=qos)


def test_a_busy_sink_may_ask_for_all_the_time_there_is() -> None:
    assert SinkBusy("busy", retry_after=math.inf).retry_after == math.inf


@pytest.mark.parametrize("make", [HTTPEndpoint, signed])
def test_a_header_cannot_break_out_and_is_not_shown(make: Any) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        make(URL, headers={"Authorization": "Bearer 5ecret\r\nX: y"})
    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": 5},
        {"params": "abc"},
        {"params": [...]},
        {"unsubscribe": 5},
        {"key": []},
        {"parse": 5},
        {"stale_after": "x"},
        {"buffer": "x"},
        {"buffer": 0},
        {"overflow": "drop"},
    ],
    ids=str,
)
async def test_a_subscription_with_a_wrong_argument_fails_at_once_also_offline(
    wrong: dict[str, Any],
) -> None:
    arguments: dict[str, Any] = {"method": "subscribe", **wrong}
    async with client() as offline:
        with pytest.raises((TypeError, ValueError)):
            await offline.subscribe(**arguments)


@pytest.mark.parametrize(
    "wrong", [{"select": 5}, {"buffer": 0}, {"buffer": "x"}], ids=str
)
async def test_a_listener_with_a_wrong_argument_is_refused(wrong: Any) -> None:
    async with client() as offline:
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            offline.listen(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"held": 0}, {"patience": 0}, {"fetches": 0}], ids=str
)
async def test_books_with_a_wrong_argument_are_refused(wrong: Any) -> None:
    async with Channel(session()) as channel:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Books(channel, books_of(), **wrong)


@pytest.mark.parametrize("make", [Limits, partial(Client, session())])
@pytest.mark.parametrize("rate", [0, -1, math.inf, "x"])
def test_a_rate_is_no_number_of_seconds(make: Any, rate: Any) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=r"rate must be .*so many a second"
    ):
        make(rate=rate)


@pytest.mark.parametrize("method", [5, None, b"x"])
async def test_a_method_is_a_text(method: Any) -> None:
    async with client() as offline:
        for ask_for in (offline.call, offline.notify):
            with pytest.raises(TypeError, match="method must be a str"):
                await ask_for(method)


@pytest.mark.parametrize("result", [None, True, [], {}])
async def test_what_cannot_be_the_key_of_items_is_no_subscription(result: Any) -> None:
    server = ScriptedSession()
    async with Client(server.session) as asking:
        server.open()
        await turns()
        subscribing = asyncio.ensure_future(asking.subscribe("subscribe"))
        await turns()
        number = server.requests()[-1]["id"]
        server.receive({"jsonrpc": "2.0", "id": number, "result": result})
        with pytest.raises(SubscribeRefused, match="no key of items; pass key="):
            await subscribing
