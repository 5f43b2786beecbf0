"""What is kept and shown of the headers of a 101."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.refusals import MAX_HEADERS, MAX_SIZE
from resilient_ws.policy.response_headers import ResponseHeaders


def test_names_are_in_lower_case_and_repetitions_are_joined() -> None:
    headers = ResponseHeaders(
        [
            ("Server", "nginx"),
            ("Via", "a"),
            ("via", "b"),
            ("Set-Cookie", "a=1; Expires=Thu, 1 Jan"),
            ("set-cookie", "b=2"),
        ]
    )
    assert dict(headers) == {
        "server": "nginx",
        "via": "a, b",
        "set-cookie": "a=1; Expires=Thu, 1 Jan\nb=2",
    }
    assert headers == {**headers}
    assert "Server" not in headers


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Authorization",
        "Proxy-Authenticate",
        "Authentication-Info",
        "X-Api-Key",
        "X-Auth-Token",
        "X-Amzn-Session",
        "Location",
        "X-Client-Secret",
    ],
)
def test_what_may_be_a_secret_is_not_shown(name: str) -> None:
    headers = ResponseHeaders([(name, "planted"), ("Server", "nginx")])
    assert headers[name.lower()] == "planted"
    assert "planted" not in f"{headers!r} {headers}"
    assert "'server': 'nginx'" in repr(headers)


def test_the_accept_of_the_handshake_is_no_secret() -> None:
    assert "abc=" in repr(ResponseHeaders([("Sec-WebSocket-Accept", "abc=")]))


@given(st.lists(st.tuples(st.text(max_size=3000), st.text(max_size=3000)), max_size=99))
def test_whatever_comes_it_is_bounded(headers: list[tuple[str, str]]) -> None:
    kept = ResponseHeaders(headers)
    assert len(kept) <= MAX_HEADERS
    assert sum(len(name) + len(value) for name, value in kept.items()) <= MAX_SIZE


def test_one_header_repeated_without_end_is_bounded() -> None:
    kept = ResponseHeaders([("x-a", "y" * 100)] * 10_000)
    assert len(kept["x-a"]) <= 1024
