"""A small share of ``make security``: a hostile server on sockets, and what we make of it.

The client is in a process of its own, so that what it leaves behind is its own, and the
server in another. Only counts are judged here: its times are for ``make security``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

import pytest

import resilient_ws
from tests.hostile import client
from tests.hostile.answers import KNOWN, answer_of, pieces_of
from tests.hostile.random_streams import stream_of
from tests.hostile.run import COUNTS, QUICK, hostile_server, meet, page


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hostile.run import Figures

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with hostile_server() as url:
        yield url


def judge(figures: Figures, count: int) -> None:
    """Whatever was sent: an error of ours, nothing left, and memory in bounds."""
    assert figures["faults"] == []
    assert figures["cases"] == count
    # Eight at a time, each with an inbox of at most 16 MiB and a message of 4 MiB.
    assert figures["memory"] < 64 * MIB


@pytest.mark.wire
@pytest.mark.parametrize("quarter", range(4))
def test_odd_answers_to_the_handshake(url: str, quarter: int) -> None:
    count = QUICK["answers"] // 4
    first = quarter * count
    (figures,) = meet(
        url, "answers", loop="asyncio", first=first, count=count, at_once=8
    )
    judge(figures, count)
    assert len(figures["ends"]) > 1


@pytest.mark.wire
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_hostile_streams(url: str, loop: str) -> None:
    count = QUICK["streams"]
    # Others than those of the whole run.
    (figures,) = meet(
        url, "streams", loop=loop, first=COUNTS["streams"], count=count, at_once=8
    )
    judge(figures, count)
    assert figures["ends"]["open, then ProtocolError"] > count // 5
    assert figures["ends"]["open, then ConnectionLost"] > count // 5


def test_what_is_generated_is_the_same_each_time() -> None:
    for number in (0, KNOWN, KNOWN + 300):
        assert answer_of(1, number) == answer_of(1, number)
        assert stream_of(1, number) == stream_of(1, number)
    assert answer_of(1, KNOWN) != answer_of(2, KNOWN)
    assert stream_of(1, 0) != stream_of(2, 0)


def test_names_are_given_once() -> None:
    names = [answer_of(1, number).name for number in range(KNOWN)]
    assert len(set(names)) == KNOWN
    assert len(names) >= 200


def test_cutting_loses_nothing() -> None:
    rng = random.Random(1)
    for size in (0, 1, 2, 50):
        data = bytes(range(size))
        for _ in range(50):
            assert b"".join(pieces_of(data, rng)) == data


def leave_task() -> Callable[[], object]:
    return asyncio.get_running_loop().create_task(asyncio.sleep(60.0)).cancel


def leave_socket() -> Callable[[], object]:
    return socket.socket().close


def leave_thread() -> Callable[[], object]:
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    return ended.set


def fail_in_the_loop() -> Callable[[], object]:
    return asyncio.get_running_loop().call_soon(lambda: 1 / 0).cancel


def log(level: int, text: str, name: str = "resilient_ws") -> Callable[[], object]:
    logging.getLogger(name).log(level, text)
    return lambda: None


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (leave_task, "left behind: <Task pending"),
        (leave_socket, "left behind: ("),
        (leave_thread, "left behind: <Thread"),
        (fail_in_the_loop, "the loop's handler: "),
        (partial(log, logging.ERROR, "a bug"), "logged resilient_ws: a bug"),
        (
            partial(log, logging.WARNING, "forged\x1b[2J"),
            "a line of the log: 'forged\\x1b[2J'",
        ),
        (partial(log, logging.WARNING, "hm", "py.warnings"), "logged py.warnings: hm"),
    ],
)
async def test_whatever_stands_against_us_is_counted(
    deed: Callable[[], Callable[[], object]],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client finds what it is there to find."""
    undone: list[Callable[[], object]] = []

    async def meet(url: str, *_: object) -> str:
        if "/nothing" not in url:
            undone.append(deed())
        await asyncio.sleep(0.01)
        return "an end"

    monkeypatch.setattr(client, "meet", meet)
    options = argparse.Namespace(kind="answers", url="ws://h", seed=1, first=0, count=1)
    options.at_once, options.loop = 1, "asyncio"
    try:
        (figures,) = await client.run(options)
    finally:
        for undo in undone:
            undo()
        asyncio.get_running_loop().set_exception_handler(None)
    (fault,) = figures.faults
    assert fault.startswith(told)
    assert dict(figures.ends) == {"an end": 1}


@pytest.mark.parametrize(
    ("failure", "counted"),
    [
        (RuntimeError("not of the tree"), 1),
        (None, 1),
        (resilient_ws.ConnectionLost("It went.", how="eof"), 0),
    ],
)
async def test_an_end_that_is_not_of_the_tree_counts(
    failure: Exception | None, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        """Ends as it is told to."""

        def on(self, *_: object) -> None:
            pass

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> str:
            raise StopAsyncIteration if failure is None else failure

    monkeypatch.setattr(resilient_ws, "connect", lambda *_, **__: Session())
    faults: list[str] = []
    await client.meet("ws://h/answers/1/0", client.INBOXES[0], faults)
    assert len(faults) == counted


def test_the_page_tells_what_stood_against_us() -> None:
    figures = {
        "kind": "answers",
        "loop": "asyncio",
        "cases": 3,
        "ends": {"ProtocolError": 3},
        "faults": ["a line of the log: 'x'"],
        "memory": 3 * MIB,
        "cpu": 0.2,
        "wall": 0.3,
        "worst": 0,
        "took": 1.0,
    }
    text = page([figures], 60.0)
    assert "- a line of the log: 'x'" in text
    assert "'a greeting of SSH' (answers) on asyncio: a turn of 200 ms" in text
    assert "| answers to the handshake | asyncio | 3 | 1 | 3.0 MiB | 200 ms" in text
    good = {**figures, "faults": [], "cpu": 0.01}
    assert "Nothing stood against us." in page([good], 60.0)
