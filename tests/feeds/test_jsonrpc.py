from __future__ import annotations

import asyncio
import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import pytest

import resilient_ws
from resilient_ws.feeds import (
    CallLost,
    CallTimeout,
    Gap,
    MessageOdd,
    RPCError,
    SubscribeRefused,
    consecutive,
)
from resilient_ws.feeds.envelopes import MAX_PARTS
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import ScriptedServer, assert_no_leaks
from tests.feeds.hostile import MESSAGES
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds import Subscription
    from resilient_ws.testing import Peer


HUGE = 123456789012345678901234567890


class Desk:
    """A client over a session that is played by hand."""

    def __init__(self, **how: Any) -> None:
        self.session = ScriptedSession()
        self.odd: list[MessageOdd] = []
        self.client = Client(
            self.session.session, timeout=5, report=self.odd.append, **how
        )

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self.session.open()
        await turns()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)
        await turns()

    def answer(self, number: int, result: Any = None, **error: Any) -> None:
        """Answer the request so many from the end."""
        request = self.session.requests()[-number]
        what = {"error": error} if error else {"result": result}
        self.session.receive({"jsonrpc": "2.0", "id": request["id"], **what})

    @property
    def counts(self) -> tuple[int, int, int]:
        now = self.client.channel.statistics()
        return now.malformed, now.unexpected, now.unknown

    def replies(self) -> list[Any]:
        return [json.loads(message) for _, message in self.session.sent]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Desk() as desk:
        yield desk


def news(key: Any, value: Any) -> dict[str, Any]:
    params = {"subscription": key, "result": value}
    return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}


# Calls.


async def test_a_call_and_what_goes_over_the_wire(desk: Desk) -> None:
    calls = [
        asyncio.create_task(desk.client.call(*args))
        for args in (("add", [1, 2]), ("add", {"a": 1}), ("none",), ("map", {}))
    ]
    await turns()
    sent = desk.replies()
    assert [request["params"] for request in sent] == [[1, 2], {"a": 1}, [], {}]
    assert {request["jsonrpc"] for request in sent} == {"2.0"}
    assert len({request["id"] for request in sent}) == 4
    for number, result in ((1, None), (2, [HUGE]), (3, "x"), (4, False)):
        desk.answer(number, result)
    assert await asyncio.gather(*calls) == [False, "x", [HUGE], None]


async def test_the_encoder_that_the_docs_name_refuses_what_json_has_not() -> None:
    server = ScriptedSession()
    strict = json.JSONEncoder(allow_nan=False).encode
    async with Client(server.session, dumps=strict) as asking:
        server.open()
        await turns()
        with pytest.raises(ValueError, match="JSON compliant"):
            await asking.call("x", [math.nan])
        with pytest.raises(TypeError, match="bytes"):
            await asking.notify("x", {"data": b"x"})
    assert server.sent == []


async def test_an_error_has_its_code_message_and_data(desk: Desk) -> None:
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    desk.answer(1, code=-32005, message="limit", data={"try": [1, 2]})
    with pytest.raises(RPCError, match="limit") as caught:
        await call
    assert (caught.value.code, caught.value.message) == (-32005, "limit")
    assert caught.value.data == {"try": [1, 2]}


@pytest.mark.parametrize(
    ("what", "malformed"),
    [
        ({"result": 1, "error": {"code": 5, "message": "both"}}, 1),
        ({"result": None, "error": {"code": 5, "message": "as JSON-RPC 1.0"}}, 0),
        ({"error": "text"}, 1),
        ({"error": {"code": "x", "message": 7}}, 0),
        ({}, 1),
        ({"error": None}, 1),
    ],
)
async def test_an_answer_that_is_none_ends_the_call_with_an_error(
    desk: Desk, what: dict[str, Any], malformed: int
) -> None:
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    number = desk.session.requests()[0]["id"]
    desk.session.receive({"jsonrpc": "2.0", "id": number, **what})
    with pytest.raises(RPCError) as caught:
        await call
    if isinstance(what.get("error"), dict) and what["error"]["code"] == 5:
        assert caught.value.code == 5
    assert desk.counts == (malformed, 0, 0)


async def test_a_null_error_beside_a_result_is_no_error(desk: Desk) -> None:
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    number = desk.session.requests()[0]["id"]
    desk.session.receive({"id": number, "result": 1, "error": None})
    assert await call == 1


async def test_an_answer_with_another_kind_of_id_is_for_nobody(desk: Desk) -> None:
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    number = desk.session.requests()[0]["id"]
    assert number == 1
    for key in (True, 1.0, "1", [1], {"a": 1}, None):
        desk.session.receive({"jsonrpc": "2.0", "id": key, "result": "wrong"})
    await turns()
    assert not call.done()
    desk.answer(1, "right")
    desk.answer(1, "again")
    assert await call == "right"
    await turns()
    assert desk.counts == (6, 1, 0)


async def test_a_method_that_may_be_repeated_goes_out_again() -> None:
    async with Desk(repeatable=lambda method: method == "read") as desk:
        read = asyncio.create_task(desk.client.call("read"))
        write = asyncio.create_task(desk.client.call("write"))
        once = asyncio.create_task(desk.client.call("read", repeat=False))
        await turns()
        desk.session.drop()
        await turns()
        with pytest.raises(CallLost):
            await write
        with pytest.raises(CallLost):
            await once
        desk.session.open()
        await turns()
        desk.answer(1, "value")
        assert await read == "value"
        sent = [request["method"] for request in desk.session.requests()]
        assert sent == ["read", "write", "read", "read"]


@pytest.mark.parametrize("value", ["0x1", b"1", 1, None])
async def test_one_value_is_not_a_list_of_parameters(desk: Desk, value: Any) -> None:
    with pytest.raises(TypeError, match="list or a mapping"):
        await desk.client.call("m", value)
    with pytest.raises(TypeError, match="list or a mapping"):
        await desk.client.notify("m", value)
    assert desk.replies() == []


async def test_what_cannot_be_encoded_is_raised_and_nothing_is_sent(desk: Desk) -> None:
    with pytest.raises(TypeError):
        await desk.client.call("x", [object()])
    assert desk.session.sent == []


async def test_a_decoder_of_the_user_has_its_own_numbers() -> None:
    def loads(text: str | bytes) -> Any:
        return json.loads(text, parse_float=Decimal)

    async with Desk(loads=loads, dumps=json.dumps) as desk:
        call = asyncio.create_task(desk.client.call("x"))
        await turns()
        desk.session.receive('{"id": 1, "result": 0.10}')
        assert str(await call) == "0.10"


# Batches.


async def test_a_batch_is_answered_in_any_order_twice_and_in_part(desk: Desk) -> None:
    batch = asyncio.create_task(
        desk.client.batch([("a", [1]), ("b", {"x": 1}), ("c", ())], timeout=3)
    )
    await turns()
    (sent,) = desk.replies()
    assert [request["method"] for request in sent] == ["a", "b", "c"]
    first, second, _ = (request["id"] for request in sent)
    desk.session.receive(
        [
            {"id": second, "error": {"code": 1, "message": "no"}},
            {"id": first, "result": "A"},
            {"id": first, "result": "again"},
            {"id": 999, "result": "nobody"},
            "nonsense",
        ]
    )
    results = await batch
    assert now() == 3
    assert results[0] == "A"
    assert isinstance(results[1], RPCError)
    assert isinstance(results[2], CallTimeout)
    assert desk.counts == (1, 2, 0)


async def test_the_answers_of_a_batch_may_come_one_by_one(desk: Desk) -> None:
    batch = asyncio.create_task(desk.client.batch([("a", ()), ("b", ())]))
    await turns()
    desk.answer(1, "B")
    desk.answer(2, "A")
    assert await batch == ["A", "B"]


async def test_a_drop_ends_only_what_has_no_answer(desk: Desk) -> None:
    batch = asyncio.create_task(desk.client.batch([("a", ()), ("b", ())]))
    await turns()
    desk.answer(2, "A")
    desk.session.drop()
    results = await batch
    assert results[0] == "A"
    assert isinstance(results[1], CallLost)
    assert results[1].maybe_executed


async def test_a_batch_of_nothing_is_not_sent(desk: Desk) -> None:
    assert await desk.client.batch([]) == []
    assert desk.session.sent == []


async def test_a_batch_longer_than_any_of_ours_is_not_looked_at(desk: Desk) -> None:
    desk.session.receive("[" + "1," * MAX_PARTS + "1]", "[]")
    await turns()
    assert desk.counts == (2, 0, 0)


# Notifications and subscriptions.


async def test_a_notification_has_no_id(desk: Desk) -> None:
    await desk.client.notify("hello", {"name": "x"})
    assert desk.replies() == [
        {"jsonrpc": "2.0", "method": "hello", "params": {"name": "x"}}
    ]


async def subscribed(desk: Desk, key: Any = "0x1", **how: Any) -> Any:
    task = asyncio.create_task(
        desk.client.subscribe("sub", ["x"], unsubscribe="unsub", **how)
    )
    await turns()
    desk.answer(1, key)
    return await task


async def test_a_subscription_gets_its_notifications_and_is_ended(desk: Desk) -> None:
    sub = await subscribed(desk)
    desk.session.receive(news("0x1", 1), news("0x2", "other"), news("0x1", HUGE))
    assert [await anext(sub), await anext(sub)] == [1, HUGE]
    leaving = asyncio.create_task(sub.aclose())
    await turns()
    assert desk.replies()[-1]["method"] == "unsub"
    assert desk.replies()[-1]["params"] == ["0x1"]
    desk.answer(1, result=True)
    await leaving
    await asyncio.sleep(6)  # what comes on a new connection is held for so long
    desk.session.receive(news("0x3", 1))
    await turns()
    assert desk.counts == (0, 0, 2)


async def test_it_is_refused_with_the_error_of_the_server(desk: Desk) -> None:
    task: asyncio.Task[Subscription[Any]]
    task = asyncio.create_task(desk.client.subscribe("sub"))
    await turns()
    desk.answer(1, code=-1, message="no such topic")
    with pytest.raises(SubscribeRefused, match="no such topic") as caught:
        await task
    assert isinstance(caught.value.__cause__, RPCError)


async def test_a_key_that_cannot_be_one_is_a_refusal(desk: Desk) -> None:
    for key in ([1], {"a": 1}):
        with pytest.raises(SubscribeRefused, match="pass key="):
            await subscribed(desk, key)


async def test_where_the_client_names_the_key_the_answer_may_be_anything() -> None:
    """As Deribit has it: ``{"channels": [...]}``, and ``params.channel`` in the items."""

    def item_of(method: str, params: Any) -> tuple[Any, Any]:
        return (method, params["channel"]), params["data"]

    def told(channel: str, data: int) -> dict[str, Any]:
        params = {"channel": channel, "data": data}
        return {"jsonrpc": "2.0", "method": "subscription", "params": params}

    wish = {"channels": ["price.btc"]}
    async with Desk(item_of=item_of) as desk:
        task: asyncio.Task[Subscription[Any]] = asyncio.create_task(
            desk.client.subscribe(
                "subscribe",
                wish,
                key=("subscription", "price.btc"),
                unsubscribe="unsubscribe",
            )
        )
        await turns()
        desk.session.receive(told("price.btc", 1))
        desk.answer(1, ["price.btc"])
        sub = await task
        desk.session.receive(told("price.eth", 2), told("price.btc", 3))
        assert [await anext(sub), await anext(sub)] == [1, 3]
        leaving = asyncio.create_task(sub.aclose())
        await turns()
        last = desk.replies()[-1]
        assert (last["method"], last["params"]) == ("unsubscribe", wish)
        desk.answer(1, ["price.btc"])
        await leaving


async def test_notifications_before_the_answer_are_held(desk: Desk) -> None:
    task: asyncio.Task[Subscription[Any]]
    task = asyncio.create_task(desk.client.subscribe("sub"))
    await turns()
    desk.session.receive(news("0x1", 1), news("0x1", 2))
    desk.answer(1, "0x1")
    sub = await task
    assert [await anext(sub), await anext(sub)] == [1, 2]


async def test_a_hole_is_filled_by_a_call(desk: Desk) -> None:
    async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
        for item in await desk.client.call("range", [after + 1, until]):
            yield item

    sub = await subscribed(
        desk,
        cursor_of=int,
        follows=consecutive(int),
        backfill=backfill,
    )
    desk.session.receive(news("0x1", 1))
    assert await anext(sub) == 1
    desk.session.drop()
    desk.session.open()
    await turns()
    desk.answer(1, "0x2")
    await turns()
    desk.session.receive(news("0x2", 4))
    assert desk.replies()[-1]["params"] == [2, None]
    desk.answer(1, [2, 3, 4])
    assert [await anext(sub) for _ in range(3)] == [2, 3, 4]
    assert sub.repeats == 1


async def test_one_odd_item_ends_neither_the_stream_nor_its_neighbours(
    desk: Desk,
) -> None:
    sub = await subscribed(
        desk,
        cursor_of=lambda item: item["n"],
        follows=consecutive(lambda item: item["n"]),
    )
    other = await subscribed(desk, "0x2")
    values = ({"n": 1}, 5, {"n": "x"}, {"n": [1]}, None, {"n": 2})
    desk.session.receive(*(news("0x1", value) for value in values), news("0x2", "ok"))
    assert await anext(other) == "ok"
    taken = [await anext(sub) for _ in range(6)]
    assert (taken[0], taken[5]) == ({"n": 1}, {"n": 2})
    assert all(isinstance(item, Gap) for item in taken[1:5])


async def test_other_notifications_have_their_method_as_key(desk: Desk) -> None:
    ear = desk.client.listen(lambda params: params != ["skip"])
    desk.session.receive(
        {"jsonrpc": "2.0", "method": "tick", "params": ["skip"]},
        {"jsonrpc": "2.0", "method": "tick", "params": [1]},
        {"jsonrpc": "2.0", "method": "tick"},
    )
    assert [await anext(ear), await anext(ear)] == [[1], None]


# Requests of the server.


async def test_the_server_may_call_methods(desk: Desk) -> None:
    async def later(value: str) -> str:
        await asyncio.sleep(1)
        return value

    told: list[int] = []
    desk.client.method("add", lambda a, b: a + b)
    desk.client.method("later", later)
    desk.client.method("tell", told.append)
    desk.client.method("bad", object)
    desk.session.receive(
        {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": "a"},
        {"jsonrpc": "2.0", "method": "add", "params": {"a": 1, "b": 3}, "id": None},
        {"jsonrpc": "2.0", "method": "none", "id": 2.5},
        {"jsonrpc": "2.0", "method": "tell", "params": [7]},
        {"jsonrpc": "2.0", "method": "later", "params": ["x"], "id": 3},
        {"jsonrpc": "2.0", "method": "bad", "id": 4},
        {"jsonrpc": "2.0", "method": "rpc.discover", "id": [1]},
    )
    await asyncio.sleep(2)
    assert told == [7]
    error = {"code": -32601, "message": "Method not found"}
    assert desk.replies() == [
        {"jsonrpc": "2.0", "id": "a", "result": 3},
        {"jsonrpc": "2.0", "id": 2.5, "error": error},
        {
            "jsonrpc": "2.0",
            "id": 4,
            "error": {"code": -32603, "message": "TypeError"},
        },
        {"jsonrpc": "2.0", "id": [1], "error": error},
        {"jsonrpc": "2.0", "id": 3, "result": "x"},
    ]
    assert desk.counts == (0, 0, 0)


async def test_a_batch_of_requests_is_answered_with_a_batch(desk: Desk) -> None:
    async def later(value: str) -> str:
        await asyncio.sleep(1)
        return value

    desk.client.method("later", later)
    desk.client.method("bad", object)
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    number = desk.session.requests()[0]["id"]
    desk.session.receive(
        [
            {"method": "later", "params": ["x"], "id": 1},
            {"id": number, "result": "mine"},
            {"method": "bad", "id": 2},
            {"method": "later", "params": ["y"]},
            {"method": "tick"},
        ]
    )
    assert await call == "mine"
    await asyncio.sleep(3)
    (answers,) = desk.replies()[1:]
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[0]["result"] == "x"
    assert answers[1]["error"]["code"] == -32603
    await asyncio.sleep(6)  # what comes on a new connection is held for so long
    desk.session.receive({"method": "tick"})
    await turns()
    assert desk.counts == (0, 0, 2)


# A server that is not well.


@pytest.mark.usefixtures("without_collection")
async def test_nonsense_is_counted_and_harmless(desk: Desk) -> None:
    sub = await subscribed(desk)
    call = asyncio.create_task(desk.client.call("x"))
    await turns()
    for _ in range(3):
        desk.session.receive(*MESSAGES)
    desk.session.receive(news("0x1", "still here"))
    desk.session.receive({"id": desk.session.requests("x")[0]["id"], "result": "yes"})
    assert await anext(sub) == "still here"
    assert await call == "yes"
    await turns()
    malformed, unexpected, unknown = desk.counts
    assert malformed + unexpected + unknown >= 3 * (len(MESSAGES) - 5)
    assert len(desk.odd) == malformed + unexpected + unknown


async def test_over_a_real_session_in_virtual_time() -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        while True:
            request = json.loads(await peer.receive())
            await peer.send(
                json.dumps({"id": request["id"], "result": request["params"]})
            )

    async with (
        assert_no_leaks(),
        ScriptedServer(serve) as server,
        Client(resilient_ws.connect(server.url())) as client,
    ):
        assert await client.call("echo", [HUGE]) == [HUGE]
        assert await client.batch([]) == []
        await server.peer.reset()
        assert await client.call("echo", {"a": "é"}, repeat=True) == {"a": "é"}
