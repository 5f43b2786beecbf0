"""What may go with the handshake."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from resilient_ws.policy.headers import check_headers


def test_headers_are_listed_as_they_are() -> None:
    headers = {"Authorization": "Bearer x", "X-Empty": "", "Host": "h", "X-T": "a\tb ü"}
    assert check_headers(headers) == list(headers.items())


def test_a_multi_mapping_keeps_its_repetitions() -> None:
    headers = CIMultiDict([("X-A", "1"), ("X-A", "2")])
    assert check_headers(headers) == [("X-A", "1"), ("X-A", "2")]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Upgrade", "it belongs to the handshake"),
        ("connection", "it belongs to the handshake"),
        ("Sec-WebSocket-Key", "it belongs to the handshake"),
        ("SEC-WEBSOCKET-VERSION", "it belongs to the handshake"),
        ("Sec-WebSocket-Protocol", "use the argument subprotocols="),
        ("Sec-WebSocket-Extensions", "use the argument compression="),
        ("Origin", "use the argument origin="),
        ("Content-Length", "a handshake has no body"),
        ("Transfer-Encoding", "a handshake has no body"),
    ],
)
def test_a_header_of_the_handshake_is_refused_with_the_argument_to_use(
    name: str, remedy: str
) -> None:
    with pytest.raises(ValueError, match=r"^headers must not set") as caught:
        check_headers({name: "x"})
    assert repr(name) in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä", "a\0", "a\n"])
def test_a_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="must have HTTP tokens for names"):
        check_headers({name: "x"})


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x1b", "\x7f"])
def test_a_value_must_not_start_a_header_of_its_own(character: str) -> None:
    with pytest.raises(
        ValueError, match=r"^headers\['X-A'\] must not contain"
    ) as caught:
        check_headers({"X-A": f"s3cret{character}X-B: y"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (
            [("a", "b")],
            "headers must be a mapping of str to str, not a value of type list.",
        ),
        (None, "headers must be a mapping of str to str, not None."),
        ({1: "x"}, "Every name in headers must be a str"),
        ({"x": b"s3cret"}, "headers['x'] must be a str, not a value of type bytes."),
        ({"x": None}, "headers['x'] must be a str, not None."),
    ],
)
def test_other_types_are_refused(headers: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_headers(headers)
    assert words in str(caught.value)
