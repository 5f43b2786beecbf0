from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from resilient_ws.monitor.gate import Gate, host_name


TOKEN = "a token of twenty-one"
LOCAL = "localhost:8080"


def asked(host: str, **headers: str) -> web.Request:
    return make_mocked_request("GET", "/", headers={"Host": host, **headers})


@pytest.mark.parametrize(
    "host",
    ["localhost", LOCAL, "LOCALHOST:1", "localhost.", "127.0.0.1:80", "[::1]:8080"],
)
def test_this_machine_may_look(host: str) -> None:
    Gate(token=None).check(asked(host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "localhost.evil.example.com",
        "127.0.0.1.evil.example.com",
        "192.168.1.7:8080",
        "user@localhost",
        "localhost:port",
        "localhost/path",
        "",
        "[",
        "[::1",
    ],
)
def test_another_name_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(web.HTTPMisdirectedRequest):
        Gate(token=None).check(asked(host))


def test_with_a_token_its_names_and_addresses_are_answered() -> None:
    gate = Gate(token=TOKEN, hosts=["Bot.example.com", "fd00::1"])
    for host in ("bot.example.com", "192.168.1.7:8080", "[fd00::1]:80", LOCAL):
        gate.check(asked(host))
    with pytest.raises(web.HTTPMisdirectedRequest):
        gate.check(asked("evil.example.com"))


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:8080", "https://localhost:8080", "http://LOCALHOST:8080"],
)
def test_our_own_page_may_look(origin: str) -> None:
    Gate(token=None).check(asked(LOCAL, Origin=origin))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example.com",
        "http://localhost",
        "http://localhost:3000",
        "http://localhost:8080.evil.example.com",
        "null",
        "http://[",
        "",
    ],
)
def test_the_page_of_another_site_may_not(origin: str) -> None:
    with pytest.raises(web.HTTPForbidden):
        Gate(token=None).check(asked(LOCAL, Origin=origin))


def test_only_the_token_is_the_token() -> None:
    gate = Gate(token=TOKEN)
    assert gate.needs_token
    assert gate.admits(TOKEN)
    for wrong in ("", TOKEN + " ", TOKEN[:-1], None, 7, ["x"], "\ud800"):
        assert not gate.admits(wrong)
    assert gate.bearer(asked(LOCAL, Authorization=f"Bearer {TOKEN}"))
    assert not gate.bearer(asked(LOCAL, Authorization=f"Basic {TOKEN}"))
    assert not gate.bearer(asked(LOCAL))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"token": "short"}, ValueError, "token must have 16 characters"),
        ({"token": b"bytes"}, TypeError, "token must be a str"),
        ({"token": None, "hosts": ["a.example"]}, ValueError, "give token too"),
        ({"token": TOKEN, "hosts": "a.example"}, TypeError, "several names"),
        ({"token": TOKEN, "hosts": ["a.example:80"]}, ValueError, "without a port"),
        ({"token": TOKEN, "hosts": ["*.example"]}, ValueError, "without a port"),
    ],
)
def test_a_wrong_argument_is_named_with_its_remedy(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Gate(**arguments)


def test_a_name_is_read_out_of_a_host_header() -> None:
    assert host_name("[::1]:80") == "::1"
    assert host_name("A.example.:80") == "a.example"
    assert host_name("a b:80:90") is None
