"""What is asked of a server, and what answer is good enough."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.protocol.handshake import Handshake, HandshakeFailure, Negotiated


# The example of RFC 6455 section 1.3.
NONCE = b"the sample nonce"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

DEFLATE = "permessage-deflate"
NO_PARAMETERS: MappingProxyType[str, str | None] = MappingProxyType({})
OFFERED = ((DEFLATE, {"client_max_window_bits": None}), ("x-other", NO_PARAMETERS))

GOOD = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
ACCEPTED = ("Sec-WebSocket-Accept", ACCEPT)


def handshake(**options: Any) -> Handshake:
    return Handshake(entropy=lambda count: NONCE[:count], **options)


def agreed(*extra: tuple[str, str], status: int = 101, **options: Any) -> Negotiated:
    return handshake(**options).check(status, [*GOOD, ACCEPTED, *extra])


def extensions(*values: str, **options: Any) -> Any:
    headers = [("Sec-WebSocket-Extensions", value) for value in values]
    return agreed(*headers, **{"offered": OFFERED, **options}).extensions


def test_a_plain_request_has_the_headers_of_the_rfc() -> None:
    assert handshake().request_headers() == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ]


def test_a_request_offers_all_that_was_asked_for() -> None:
    offered = [(DEFLATE, {"server_max_window_bits": "12", "x": None})]
    asked = handshake(
        subprotocols=["v2.chat", "chat"],
        origin="https://example.com",
        offered=[*offered, ("x-other", {})],
    )
    assert asked.request_headers()[4:] == [
        ("Sec-WebSocket-Protocol", "v2.chat, chat"),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; server_max_window_bits=12; x, x-other",
        ),
        ("Origin", "https://example.com"),
    ]


def test_each_handshake_has_a_key_of_its_own() -> None:
    assert Handshake().request_headers() != Handshake().request_headers()


@pytest.mark.parametrize(
    "headers",
    [
        [*GOOD, ACCEPTED],
        [("UPGRADE", "WebSocket"), ("connection", "upgrade"), ACCEPTED],
        [
            ("upgrade", " websocket\t"),
            ("connection", " keep-alive ,\tUPGRADE"),
            ACCEPTED,
        ],
        [GOOD[0], ("Connection", "x"), ("Connection", "y, Upgrade"), ACCEPTED],
        [*GOOD, ("sec-websocket-ACCEPT", f" {ACCEPT} "), ("Server", "x")],
    ],
)
def test_a_good_answer_is_accepted(headers: list[tuple[str, str]]) -> None:
    assert handshake().check(101, headers) == Negotiated(
        subprotocol=None, extensions={}
    )


@pytest.mark.parametrize("status", [100, 200, 301, 401, 404, 426, 503])
def test_another_status_is_refused(status: int) -> None:
    with pytest.raises(HandshakeFailure, match=f"answered {status}") as caught:
        agreed(status=status)
    assert caught.value.code == 1002


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([GOOD[1], ACCEPTED], "there is no Upgrade header"),
        ([("Upgrade", "h2c"), GOOD[1], ACCEPTED], "Upgrade header is 'h2c'"),
        ([("Upgrade", ""), GOOD[1], ACCEPTED], "Upgrade header is ''"),
        ([GOOD[0], *GOOD, ACCEPTED], "2 Upgrade headers"),
        ([GOOD[0], ACCEPTED], "Connection header is ''"),
        ([GOOD[0], ("Connection", "close"), ACCEPTED], "Connection header is 'close'"),
        ([GOOD[0], ("Connection", "not-upgrade"), ACCEPTED], "without upgrade"),
        ([GOOD[0], ("Connection", "keep-alive upgrade"), ACCEPTED], "without upgrade"),
        ([*GOOD], "Sec-WebSocket-Accept"),
        ([*GOOD, ("Sec-WebSocket-Accept", "")], "Sec-WebSocket-Accept"),
        ([*GOOD, ("Sec-WebSocket-Accept", ACCEPT.lower())], "does not answer our key"),
        ([*GOOD, ("Sec-WebSocket-Accept", ACCEPT[:-1])], "does not answer our key"),
        ([*GOOD, ACCEPTED, ACCEPTED], "2 Sec-WebSocket-Accept headers"),
    ],
)
def test_a_wrong_answer_is_refused(headers: list[tuple[str, str]], text: str) -> None:
    with pytest.raises(HandshakeFailure, match=text) as caught:
        handshake().check(101, headers)
    assert caught.value.code == 1002
    assert str(caught.value) == caught.value.text


def test_an_answer_for_another_key_is_refused() -> None:
    with pytest.raises(HandshakeFailure, match="does not answer our key"):
        Handshake(entropy=bytes).check(101, [*GOOD, ACCEPTED])


PROTOCOL = "Sec-WebSocket-Protocol"


def test_the_server_chooses_a_subprotocol_or_none() -> None:
    offers: dict[str, Any] = {"subprotocols": ("a", "b")}
    assert agreed((PROTOCOL, "b"), **offers).subprotocol == "b"
    assert agreed(**offers).subprotocol is None


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), ["a"]),
        ((), [""]),
        (("a", "b"), ["c"]),
        (("a", "b"), ["A"]),
        (("a", "b"), [""]),
        (("a", "b"), ["a, b"]),
        (("a", "b"), ["a", "b"]),
        (("a", "b"), ["a", "a"]),
    ],
)
def test_a_subprotocol_that_was_not_offered_fails(
    offered: tuple[str, ...], chosen: list[str]
) -> None:
    with pytest.raises(HandshakeFailure) as caught:
        agreed(*((PROTOCOL, name) for name in chosen), subprotocols=offered)
    assert caught.value.code == 1002


@pytest.mark.parametrize(
    "headers",
    [
        [("Upgrade", "u" * 200_000), GOOD[1], ACCEPTED],
        [GOOD[0], ("Connection", "c," * 100_000), ACCEPTED],
        [*GOOD, ACCEPTED, (PROTOCOL, "p" * 200_000)],
        [*GOOD, ACCEPTED, ("Sec-WebSocket-Extensions", "e" * 200_000)],
        [*GOOD, ACCEPTED, ("Sec-WebSocket-Extensions", 'x; a="' + "a" * 200_000)],
    ],
)
def test_of_a_long_header_the_beginning_is_quoted(
    headers: list[tuple[str, str]],
) -> None:
    with pytest.raises(
        HandshakeFailure, match=r"\.\.\. \(2\d\d,\d+ characters\)"
    ) as caught:
        handshake().check(101, headers)
    assert len(caught.value.text) < 200
    said = caught.value.said
    assert said is not None
    assert repr(said) in caught.value.text
    assert said not in caught.value.unquoted


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([""], {}),
        ([DEFLATE], {DEFLATE: {}}),
        ([f"{DEFLATE}; a; b=12"], {DEFLATE: {"a": None, "b": "12"}}),
        ([f' {DEFLATE}\t;a = "12" ; b '], {DEFLATE: {"a": "12", "b": None}}),
        ([rf'{DEFLATE};a="1\2"'], {DEFLATE: {"a": "12"}}),
        ([f"{DEFLATE}, x-other; y"], {DEFLATE: {}, "x-other": {"y": None}}),
        ([DEFLATE, "x-other"], {DEFLATE: {}, "x-other": {}}),
        ([f",{DEFLATE} , , x-other,"], {DEFLATE: {}, "x-other": {}}),
        (["", "x-other", ""], {"x-other": {}}),
    ],
)
def test_extensions_are_one_list_over_all_headers(
    values: list[str], expected: dict[str, dict[str, str | None]]
) -> None:
    assert extensions(*values) == expected


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["x-unknown"], "'x-unknown', which was not offered"),
        ([DEFLATE.upper()], "which was not offered"),
        ([f"{DEFLATE}, {DEFLATE}"], "twice"),
        ([DEFLATE, DEFLATE], "twice"),
        ([f"{DEFLATE}; a=1; a=2"], "'a' twice"),
        ([f"{DEFLATE};"], "malformed"),
        ([f"{DEFLATE}; ;"], "malformed"),
        ([f"{DEFLATE}; a="], "malformed"),
        ([f"{DEFLATE}; =1"], "malformed"),
        ([f'{DEFLATE}; a="1'], "malformed"),
        ([f'{DEFLATE}; a=""'], "malformed"),
        ([f'{DEFLATE}; a="1 2"'], "malformed"),
        ([f"{DEFLATE} x-other"], "malformed"),
        ([f"{DEFLATE}; a=1 2"], "malformed"),
        (["; a"], "malformed"),
        (["(x)"], "malformed"),
        ([f"{DEFLATE}\n"], "malformed"),
        (["\n"], "malformed"),
    ],
)
def test_a_wrong_list_of_extensions_fails(values: list[str], text: str) -> None:
    with pytest.raises(HandshakeFailure, match=text) as caught:
        extensions(*values)
    assert caught.value.code == 1002


def test_no_extension_may_come_when_none_was_offered() -> None:
    with pytest.raises(HandshakeFailure, match="not offered"):
        extensions(DEFLATE, offered=())


def test_a_required_extension_that_is_missing_fails_with_1010() -> None:
    assert extensions(DEFLATE, required=[DEFLATE]) == {DEFLATE: {}}
    with pytest.raises(
        HandshakeFailure, match=f"agree to extension '{DEFLATE}'"
    ) as caught:
        extensions("x-other", required=[DEFLATE])
    assert caught.value.code == 1010


@given(st.text(alphabet='ab,;= \t"\\x-1\n', max_size=40))
def test_no_extension_header_does_worse_than_fail_the_handshake(value: str) -> None:
    try:
        found = extensions(value, offered=[(name, {}) for name in ("a", "b", "ab")])
    except HandshakeFailure:
        return
    assert set(found) <= {"a", "b", "ab"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subprotocols": "chat"}, r"^subprotocols is one string: pass a list"),
        ({"subprotocols": [""]}, r"^subprotocols\[0\] must be a token"),
        ({"subprotocols": ["a b"]}, "must be a token"),
        ({"subprotocols": ["a,b"]}, "must be a token"),
        ({"subprotocols": ["a\r\nX: y"]}, "must be a token"),
        ({"subprotocols": ["a\n"]}, "must be a token"),
        ({"subprotocols": ["é"]}, "must be a token"),
        ({"subprotocols": ["a", "b", "a"]}, "twice: offer each subprotocol once"),
        ({"origin": "https://x\r\nX: y"}, "^origin .* without spaces or line breaks"),
        ({"origin": "https://x\n"}, "^origin "),
        ({"origin": "https://x y"}, "^origin "),
        ({"origin": ""}, "^origin "),
    ],
)
def test_what_cannot_go_into_a_header_is_refused(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Handshake(**options)
