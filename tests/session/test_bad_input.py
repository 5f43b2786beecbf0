"""What connect() is given wrongly is refused there, by name, and starts nothing."""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

import resilient_ws
from resilient_ws import (
    Access,
    FullJitter,
    Inbox,
    Liveness,
    Outbox,
    Reconnect,
    SecurityError,
    Timeouts,
)
from resilient_ws.testing.leaks import open_sockets, pending_tasks


if TYPE_CHECKING:
    from collections.abc import Callable

URL = "wss://stream.example.com/feed"
NUMBERS = ("1", None, True, b"1", [1])
NO_NUMBERS: tuple[Any, ...] = ("1", None, [1])
NO_POLICIES: tuple[Any, ...] = (5, {}, False)
#: The last one is too large for a float.
NOT_FINITE = (math.nan, math.inf, -math.inf, 10**400)

#: The argument, the value, the error, and what its text has to say besides the name.
ARGUMENTS: list[tuple[str, Any, type[Exception], str]] = [
    ("url", None, TypeError, "str"),
    ("url", 5, TypeError, "str"),
    ("url", b"wss://example.com", TypeError, "str"),
    ("url", [], ValueError, "at least one"),
    ("url", [URL, 5], TypeError, "str"),
    ("url", [URL, "https://example.com"], ValueError, "wss://"),
    ("url", "", ValueError, "wss://"),
    ("url", "example.com", ValueError, "wss://"),
    ("url", "https://example.com", ValueError, "wss://"),
    ("url", "ftp://example.com", ValueError, "wss://"),
    ("url", "wss://example.com/#part", ValueError, "fragment"),
    ("url", "wss://example.com:0", ValueError, "65535"),
    ("url", "wss://example.com:65536", ValueError, "65535"),
    ("url", "wss://example.com:port", ValueError, "65535"),
    ("url", "wss://", ValueError, "wss://"),
    ("url", "wss://exa mple.com", ValueError, "whitespace"),
    ("url", "wss://example.com/\r\nX: y", ValueError, "whitespace"),
    ("url", "wss://ex_.-.com", ValueError, "host"),
    ("url", "ws://example.com", SecurityError, "allow_insecure"),
    ("url", "wss://example.com:25", SecurityError, "blocked_ports"),
    ("headers", 5, TypeError, "mapping"),
    ("headers", [("a", "b")], TypeError, "mapping"),
    ("headers", {"X-A": 5}, TypeError, "str"),
    ("headers", {5: "a"}, TypeError, "str"),
    ("headers", {"X-A": "a\r\nB: c"}, ValueError, "CR"),
    ("headers", {"X-A": "a\nb"}, ValueError, "CR"),
    ("headers", {"X A": "a"}, ValueError, "token"),
    ("headers", {"": "a"}, ValueError, "token"),
    ("headers", {"Upgrade": "h2c"}, ValueError, "leave it out"),
    ("headers", {"sec-websocket-key": "x"}, ValueError, "leave it out"),
    ("headers", {"Origin": "https://a.example"}, ValueError, "origin="),
    ("headers", {"X-A": "\N{SNOWMAN}\ud800"}, ValueError, "header"),
    ("subprotocols", "mqtt", TypeError, "sequence"),
    ("subprotocols", 5, TypeError, "sequence"),
    ("subprotocols", None, TypeError, "sequence"),
    ("subprotocols", [5], TypeError, "str"),
    ("subprotocols", [""], ValueError, "token"),
    ("subprotocols", ["a b"], ValueError, "token"),
    ("subprotocols", ["a", "a"], ValueError, "twice"),
    ("origin", 5, TypeError, "str"),
    ("origin", b"https://a.example", TypeError, "str"),
    ("origin", "", ValueError, "scheme"),
    ("origin", "https://a.example\r\nX: y", ValueError, "scheme"),
    ("compression", "gzip", ValueError, "deflate"),
    ("compression", True, ValueError, "deflate"),
    ("compression", ["deflate"], ValueError, "deflate"),
    ("ssl", False, ValueError, "SSLContext"),
    ("ssl", None, TypeError, "SSLContext"),
    ("ssl", "ca.pem", TypeError, "SSLContext"),
    ("proxy", 5, TypeError, "URL"),
    ("proxy", "", ValueError, "http"),
    ("proxy", "proxy.example.com:3128", ValueError, "http"),
    ("proxy", "ftp://proxy.example.com", ValueError, "http"),
    ("proxy", "http://proxy.example.com/path", ValueError, "after the port"),
    ("proxy", "http://proxy.example.com:99999", ValueError, "65535"),
    ("http", 5, TypeError, "ClientSession"),
    ("http", aiohttp.ClientSession, TypeError, "ClientSession"),
    ("name", 5, TypeError, "str"),
    ("name", b"feed", TypeError, "str"),
    ("name", "", ValueError, "printable"),
    ("name", "  ", ValueError, "printable"),
    ("name", "a\nb", ValueError, "one line"),
    ("name", "a\u202eb", ValueError, "printable"),
    ("name", "a" * 201, ValueError, "200"),
    ("on_open", 5, TypeError, "async"),
    ("on_open", "hook", TypeError, "async"),
    *[("wait_open", value, TypeError, "seconds") for value in NO_NUMBERS],
    *[("wait_open", value, ValueError, "seconds") for value in (*NOT_FINITE, -1, 0)],
    *[
        (name, value, TypeError, right)
        for name, right in (
            ("reconnect", "Reconnect"),
            ("liveness", "Liveness"),
            ("timeouts", "Timeouts"),
            ("outbox", "Outbox"),
            ("inbox", "Inbox"),
            ("access", "Access"),
            ("limiter", "ConnectLimiter"),
        )
        for value in NO_POLICIES
    ],
    *[("max_message_size", value, ValueError, "positive") for value in (0, -1)],
    *[("max_message_size", v, TypeError, "whole") for v in (True, 1.5, "1")],
]


def ident(value: object) -> str:
    return re.sub(r" at 0x[0-9a-f]+|[^\x21-\x7e]", "?", repr(value))[:40]


@pytest.mark.parametrize(("name", "value", "error", "right"), ARGUMENTS, ids=ident)
async def test_a_bad_argument_is_named_and_starts_nothing(
    name: str, value: Any, error: type[Exception], right: str
) -> None:
    tasks, sockets = pending_tasks(), open_sockets()
    arguments = {"url": URL, name: value}
    with pytest.raises(error) as caught:
        resilient_ws.connect(**arguments)
    said = str(caught.value)
    if not isinstance(caught.value, SecurityError):
        assert name in said
    assert right in said
    assert pending_tasks() == tasks
    assert open_sockets() == sockets


POLICIES: list[tuple[Callable[..., object], str, Any, type[Exception]]] = [
    *[
        (Timeouts, name, value, error)
        for name in ("open", "restore", "close")
        for values, error in ((NUMBERS, TypeError), ((*NOT_FINITE, 0, -1), ValueError))
        for value in values
    ],
    *[
        (kind, name, value, error)
        for kind, names in (
            (Liveness, ("ping_interval", "ping_timeout", "idle_timeout")),
            (Reconnect, ("max_outage", "max_age")),
            (Outbox, ("ttl",)),
        )
        for name in names
        for values, error in (
            (("1", True, [1]), TypeError),
            ((*NOT_FINITE, 0, -1), ValueError),
        )
        for value in values
    ],
    (Liveness, "probe", 5, TypeError),
    (Liveness, "is_answer", 5, TypeError),
    (Liveness, "is_answer", bool, ValueError),
    *[(Reconnect, "stable_after", v, TypeError) for v in NUMBERS],
    *[(Reconnect, "stable_after", v, ValueError) for v in (*NOT_FINITE, 0, -1)],
    *[(Reconnect, "retry_after_cap", v, ValueError) for v in (*NOT_FINITE, -1)],
    *[(Reconnect, "retry_after_cap", v, TypeError) for v in NUMBERS],
    (Reconnect, "wait", 5, TypeError),
    (Reconnect, "wait", asyncio.sleep, TypeError),
    (Reconnect, "stop", None, TypeError),
    (Reconnect, "stop", 5, TypeError),
    (Reconnect, "classify", 5, TypeError),
    (Reconnect, "classify", asyncio.sleep, TypeError),
    (Reconnect, "rng", 5, TypeError),
    *[
        (kind, name, value, error)
        for kind in (Inbox, Outbox)
        for name in ("max_messages", "max_bytes")
        for values, error in (
            (("1", None, True, 1.0, math.nan), TypeError),
            ((0, -1), ValueError),
        )
        for value in values
    ],
    (Inbox, "overflow", "raise", ValueError),
    (Inbox, "overflow", None, TypeError),
    (Outbox, "overflow", "pause", ValueError),
    (Outbox, "overflow", True, TypeError),
    (Outbox, "confirm", "never", ValueError),
    (Outbox, "resend", True, ValueError),
    (Outbox, "store", "outbox.db", TypeError),
    (Access, "allow_insecure", "yes", ValueError),
    (Access, "allow_insecure", 1, TypeError),
    (Access, "allow_private", None, TypeError),
    (Access, "allowed_hosts", "example.com", TypeError),
    (Access, "allowed_hosts", [5], TypeError),
    (Access, "allowed_hosts", ["https://example.com"], ValueError),
    (Access, "blocked_ports", 25, TypeError),
    (Access, "blocked_ports", ["25"], TypeError),
    (Access, "max_redirects", -1, ValueError),
    (Access, "max_redirects", True, TypeError),
    *[
        (FullJitter, name, value, error)
        for name in ("initial", "maximum")
        for values, error in ((NUMBERS, TypeError), ((*NOT_FINITE, -1), ValueError))
        for value in values
    ],
]


@pytest.mark.parametrize(("policy", "name", "value", "error"), POLICIES, ids=ident)
def test_a_bad_policy_names_itself_and_its_field(
    policy: type, name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        policy(**{name: value})
    said = str(caught.value)
    assert f"{policy.__name__}.{name}" in said
    assert "must" in said or "needs" in said
    # A sentence, not the tuple that some validators raise.
    assert not said.startswith("(")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks4://127.0.0.1"])
async def test_a_lent_client_cannot_speak_socks(proxy: str) -> None:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(ValueError, match="http"):
            resilient_ws.connect(URL, http=client, proxy=proxy)


async def test_a_lent_client_cannot_tunnel_plain_ws() -> None:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(ValueError, match="http"):
            resilient_ws.connect(
                "ws://example.com",
                access=Access(allow_insecure=True),
                http=client,
                proxy="http://127.0.0.1:3128",
            )


def test_only_socks_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    insecure = Access(allow_insecure=True)
    for proxy in ("socks4://127.0.0.1", "socks5://127.0.0.1", "socks5h://127.0.0.1"):
        with pytest.raises(ValueError, match=r"proxy.*resilient-ws\[socks\]"):
            resilient_ws.connect(URL, proxy=proxy)
    for url in (URL, "ws://example.com"):
        for proxy in ("http://127.0.0.1:3128", "https://127.0.0.1:3128"):
            resilient_ws.connect(url, proxy=proxy, access=insecure)


def test_loopback_through_a_proxy_of_the_environment_is_not_secure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    with pytest.raises(SecurityError):
        resilient_ws.connect("ws://localhost:8000", proxy="env")


def test_a_bad_proxy_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "ftp://proxy.example.com")
    with pytest.raises(ValueError, match="proxy"):
        resilient_ws.connect(URL, proxy="env")
