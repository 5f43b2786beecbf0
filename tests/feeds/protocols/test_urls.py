"""Where the next connection goes."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_ws import Attempt, Fatal
from resilient_ws.errors import ConnectionLost
from resilient_ws.feeds.protocols.urls import MAX_VAIN, NextURL
from resilient_ws.protocol.close import Close


START = "wss://example.com/start?v=10&encoding=json"


def attempt(code: int | None = None) -> Attempt:
    lost = None
    if code is not None:
        close = Close(code=code, reason="", initiator="peer", clean=True)
        lost = ConnectionLost("The connection ended.", how="close", close=close)
    return Attempt(number=1, epoch=1, because=lost)


@pytest.mark.parametrize(
    "url",
    [
        "wss://other.example/path?id=1",
        "wss://[::1]:8443/",
        "wss://other.example",
    ],
)
def test_a_url_of_the_server_is_dialled(url: str) -> None:
    next_url = NextURL(START)
    assert next_url(attempt()) == START
    next_url.follow(url)
    assert next_url(attempt()) == url
    assert next_url.follows


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "other.example",
        "/path",
        "ws://other.example/",
        "https://other.example/",
        "wss://",
        "wss:///path",
        "wss://user:password@other.example/",
        "wss://other.example/#part",
        "wss://other.example:99999/",
        "wss://other.example:0/",
        "wss://other.example/a b",
        "wss://other.example/\r\nHost: x",
        "wss://[::1",
        "wss://ex\u00e4mple/",
        "wss://other.example/\ud800",
    ],
)
def test_what_may_not_be_followed_is_not(url: Any) -> None:
    next_url = NextURL(START)
    next_url.follow("wss://other.example/")
    next_url.follow(url)
    assert next_url(attempt()) == START
    assert not next_url.follows


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://other.example", "wss://other.example/?v=10&encoding=json"),
        ("wss://other.example/a?b=c", "wss://other.example/a?v=10&encoding=json"),
    ],
)
def test_a_url_may_get_the_query_of_the_first(url: str, expected: str) -> None:
    next_url = NextURL(START)
    next_url.follow(url, with_query=True)
    assert next_url(attempt()) == expected


def test_a_url_that_cannot_be_dialled_is_left_and_tried_again_later() -> None:
    next_url = NextURL(START)
    next_url.follow("wss://other.example/")
    dialled = [next_url(attempt()) for _ in range(MAX_VAIN + 2)]
    assert dialled == [*MAX_VAIN * ["wss://other.example/"], START, START]
    next_url.reached()
    next_url.worked()
    assert next_url(attempt()) == "wss://other.example/"


def test_a_url_whose_connections_are_of_no_use_is_left() -> None:
    next_url = NextURL(START)
    next_url.follow("wss://other.example/")
    dialled = []
    for _ in range(MAX_VAIN + 2):
        dialled.append(next_url(attempt()))
        next_url.reached()
    assert dialled == [*MAX_VAIN * ["wss://other.example/"], START, START]
    assert next_url.vain == MAX_VAIN + 2


def test_a_close_code_may_be_final_or_void_the_url() -> None:
    forgotten: list[bool] = []
    next_url = NextURL(
        START, {4004}, {4009}, on_forgotten=lambda: forgotten.append(True)
    )
    next_url.follow("wss://other.example/")
    assert next_url(attempt(1001)) == "wss://other.example/"
    assert next_url(attempt(4009)) == START
    assert forgotten == [True]
    with pytest.raises(Fatal, match="4004"):
        next_url(attempt(4004))


def test_a_session_that_does_not_ask_is_told_so() -> None:
    next_url = NextURL(START)
    with pytest.raises(Fatal, match=r"connect\(protocol.url\)"):
        next_url.reached()
    next_url(attempt())
    next_url.reached()
