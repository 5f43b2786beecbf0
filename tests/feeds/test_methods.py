from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.methods import Methods


if TYPE_CHECKING:
    import pytest


def add(left: int, right: int = 1) -> int:
    return left + right


async def slowly(value: Any) -> Any:
    await asyncio.sleep(1)
    if value == "bad":
        raise RPCError(7, "bad", [value])
    if value == "bug":
        raise KeyError(value)
    return value


def make() -> Methods:
    methods = Methods()
    methods.register("add", add)
    methods.register("slowly", slowly)
    methods.register("returns an awaitable", slowly)
    methods.register("max", max)
    methods.register("fails", lambda: 1 // 0)
    return methods


async def ask(methods: Methods, method: str, params: Any = (), key: Any = 1) -> Any:
    request = {"jsonrpc": "2.0", "method": method, "id": key}
    if params != ():
        request["params"] = params
    response = methods.respond(request)
    answer = await response() if callable(response) else response
    if answer is None:
        return None
    assert answer.pop("jsonrpc") == "2.0"
    assert answer.pop("id") == key
    return answer


async def test_a_method_is_called_by_position_or_by_name() -> None:
    methods = make()
    assert await ask(methods, "add", [1, 2]) == {"result": 3}
    assert await ask(methods, "add", {"left": 1, "right": 3}) == {"result": 4}
    assert await ask(methods, "add", [1]) == {"result": 2}
    assert await ask(methods, "max", [1, 5, 2]) == {"result": 5}
    assert await ask(methods, "slowly", ["x"], "an id") == {"result": "x"}
    assert await ask(methods, "returns an awaitable", ["x"]) == {"result": "x"}


async def test_what_does_not_fit_is_an_error_of_the_specification() -> None:
    methods = make()
    for params in (
        [],
        [1, 2, 3],
        {"left": 1, "other": 2},
        {"self": 1},
        "text",
        5,
        None,
    ):
        assert (await ask(methods, "add", params))["error"]["code"] == -32602, params
    for name in ("sub", "__class__", "__init__", ""):
        assert (await ask(methods, name))["error"] == {
            "code": -32601,
            "message": "Method not found",
        }


async def test_what_it_raises_is_told_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    methods = make()
    assert await ask(methods, "slowly", ["bad"]) == {
        "error": {"code": 7, "message": "bad", "data": ["bad"]}
    }
    with caplog.at_level(logging.ERROR, "resilient_ws"):
        for _ in range(5):
            assert await ask(methods, "fails") == {
                "error": {"code": -32603, "message": "ZeroDivisionError"}
            }
            assert (await ask(methods, "slowly", ["bug"]))["error"]["code"] == -32603
    assert len(caplog.records) == 2


async def test_without_an_id_nothing_is_answered() -> None:
    methods = make()
    for name in ("add", "fails", "nothing", "slowly"):
        assert await ask(methods, name, [1], None) is None


async def test_nothing_runs_before_its_answer_is_awaited() -> None:
    """A flood of requests that are dropped leaves no coroutine that never ran."""
    response = make().respond({"method": "slowly", "params": [1], "id": 1})
    assert callable(response)
    del response
