"""Calls that a server answers wrongly: each must end, and only as it was answered."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

import resilient_ws
from resilient_ws.feeds import CallTimeout, Gap, RPCError, consecutive
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.endurance.page import table


if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


HUGE: Final = 10**40
#: Items that come before the answer to their subscription, as many as are held and more;
#: and how many come after it.
EARLY: Final = 200
TOO_EARLY: Final = 1000
AFTER: Final = 400
#: Early items that a channel holds, by default.
HELD: Final = 256
#: Seconds after which a call that gets no answer ends here.
TIMEOUT: Final = 2.0
PARTS: Final = 10


# The server.


async def serve(peer: ServerConnection) -> None:
    """Answer each request as its method says."""
    async for message in peer:
        data = json.loads(message)
        if isinstance(data, list):
            await peer.send(json.dumps(_batch(data)))
        elif data["method"] == "early":
            await _early(peer, data)
        else:
            for text in _answers(data):
                await peer.send(text)


def _answers(request: dict[str, Any]) -> list[str]:
    number, param = request["id"], request["params"][0]

    def answer(**what: Any) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": number, **what})

    again = answer(result="again")
    error = {"code": param, "message": "no"}
    answers = {
        "twice": [answer(result=param), again],
        "both": [answer(result=param, error=error)],
        "neither": [answer()],
        "no error": [answer(error="text")],
        "huge": [answer(result=HUGE + param)],
        "surrogate": [answer(result="\ud800")],
    }
    return answers.get(request["method"], [answer(result=param)])


def _batch(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answer every other request of a batch, the last first."""
    return [
        {"jsonrpc": "2.0", "id": one["id"], "result": one["params"][0]}
        for one in reversed(requests[::2])
    ]


async def _early(peer: ServerConnection, request: dict[str, Any]) -> None:
    key = f"early/{request['id']}"
    early = request["params"][0]
    for number in range(early + AFTER):
        if number == early:
            await peer.send(json.dumps({"id": request["id"], "result": key}))
        params = {"subscription": key, "result": number}
        await peer.send(json.dumps({"method": "news", "params": params}))


# The client.


@attrs.define
class Ended:
    """What became of the calls of one kind."""

    name: str
    decoder: str
    ends: collections.Counter[str]
    statistics: Any
    faults: list[str]


async def _call(client: Client, method: str, number: int) -> str:
    try:
        result = await client.call(method, [number], timeout=TIMEOUT)
    except RPCError:
        return "RPCError"
    except CallTimeout:
        return "CallTimeout"
    wanted = {"huge": HUGE + number, "surrogate": "\ud800"}.get(method, number)
    return "its result" if result == wanted else f"wrong: {result!r}"


async def _batch_of(client: Client, number: int) -> str:
    numbers = range(number * PARTS, (number + 1) * PARTS)
    calls = [("part", [one]) for one in numbers]
    outcomes = await client.batch(calls, timeout=TIMEOUT)
    for index, (one, outcome) in enumerate(zip(numbers, outcomes, strict=True)):
        if outcome != one if index % 2 == 0 else not isinstance(outcome, CallTimeout):
            return f"wrong: {index} is {outcome!r}"
    return "results and CallTimeout, each in its place"


async def _subscribe(client: Client, early: int) -> str:
    items = await client.subscribe(
        "early", [early], cursor_of=_itself, follows=consecutive(_itself)
    )
    expected, told = 0, "every item, in order"
    async with items:
        async for item in items:
            if isinstance(item, Gap):
                if item.first_missing is not None or item.until is None or expected:
                    return f"wrong: {item!r} for {expected}"
                expected, told = item.until + 1, "a gap, and the others in order"
            elif item != expected:
                return f"wrong: {item!r} for {expected}"
            else:
                expected += 1
            if expected == early + AFTER:
                break
    return told


def _itself(item: Any) -> int:
    number: int = item
    return number


@attrs.frozen
class Wrong:
    """A way to answer wrongly.

    Attributes:
        what: For the page.
        end: How each call must end, by decoder.
        counted: The counters for each call, by decoder.
        ask: Makes the call; returns its end.
    """

    what: str
    end: dict[str, str]
    counted: dict[str, dict[str, int]]
    ask: Callable[[Client, int], Awaitable[str]]


def _both(value: Any) -> dict[str, Any]:
    return {"msgspec": value, "json": value}


def _wrong(what: str, method: str, end: Any, **counted: int) -> Wrong:
    return Wrong(what, _both(end), _both(counted), lambda c, n: _call(c, method, n))


WRONGS: Final = {
    "twice": _wrong("answered twice", "twice", "its result", unexpected=1),
    "both": _wrong("a result and an error at once", "both", "RPCError", malformed=1),
    "neither": _wrong("neither result nor error", "neither", "RPCError", malformed=1),
    "no error": _wrong("an error that is a text", "no error", "RPCError", malformed=1),
    "huge": _wrong("a result of 41 digits", "huge", "its result"),
    "surrogate": Wrong(
        "a lone surrogate as a result",
        {"msgspec": "CallTimeout", "json": "its result"},
        {"msgspec": {"malformed": 1}, "json": {}},
        lambda client, number: _call(client, "surrogate", number),
    ),
    "part": Wrong(
        "half of a batch of ten, in reverse",
        _both("results and CallTimeout, each in its place"),
        _both({}),
        _batch_of,
    ),
    "early": Wrong(
        f"a subscription, after {EARLY} of its items",
        _both("every item, in order"),
        _both({}),
        lambda client, _: _subscribe(client, EARLY),
    ),
    "too early": Wrong(
        f"a subscription, after {TOO_EARLY:,} of its items",
        _both("a gap, and the others in order"),
        _both({"unknown": TOO_EARLY - HELD}),
        lambda client, _: _subscribe(client, TOO_EARLY),
    ),
}
#: Where each takes long: so many times fewer, and one after the other, because all
#: that wait for their subscription share the places of early items.
FEWER: Final = {"early": 50, "too early": 50}


async def endure(
    url: str, name: str, decoder: str, loads: Callable[[Any], Any], calls: int
) -> Ended:
    """Make calls that are answered in one way."""
    wrong = WRONGS[name]
    session = resilient_ws.connect(url, compression=None)
    async with Client(session, loads=loads) as client:
        count = max(1, calls // FEWER.get(name, 1))
        at_once = 1 if name in FEWER else 100
        ends: collections.Counter[str] = collections.Counter()
        for first in range(0, count, at_once):
            numbers = range(first, min(count, first + at_once))
            ends.update(
                await asyncio.gather(*(wrong.ask(client, one) for one in numbers))
            )
        # It goes on as if nothing had been.
        after = await _call(client, "plain", 1)
        statistics = client.channel.statistics()
    faults = [] if after == "its result" else [f"a call after it: {after}"]
    if session.epoch != 1:
        faults.append("the connection was lost")
    if ends != {wrong.end[decoder]: count}:
        faults.append(f"the ends are {dict(ends)}")
    for kind in ("malformed", "unexpected", "unknown"):
        wanted = wrong.counted[decoder].get(kind, 0) * count
        if getattr(statistics, kind) != wanted:
            faults.append(f"{getattr(statistics, kind)} are {kind}, not {wanted}")
    told = [f"{wrong.what}, {decoder}: {fault}" for fault in faults]
    return Ended(name, decoder, ends, statistics, told)


HOW: Final = """\
### Answers that are wrong

To calls, a hundred at a time. Each must end as the table says, be counted so, and leave
the connection and the next call alone. A number keeps all its digits. msgspec decodes no
lone surrogates: such an answer is malformed, and its call times out.
"""


def report(ended: list[Ended]) -> str:
    """Return the table."""
    kinds = ("malformed", "unexpected", "unknown")
    rows = [
        (
            WRONGS[one.name].what,
            one.decoder,
            ", ".join(f"{end}: {count:,}" for end, count in one.ends.items()),
            *(f"{getattr(one.statistics, kind):,}" for kind in kinds),
        )
        for one in ended
    ]
    return table(["the answer", "decoder", "ends", *kinds], rows)
