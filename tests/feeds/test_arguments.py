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
    Source,
    SubscribeRefused,
    merge,
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
