"""What may go with the handshake, and through whom."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from multidict import CIMultiDict

from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.proxy import parse_proxy


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


# --- proxies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ("env", "env"),
        ("http://p", "http://p:80"),
        ("HTTP://P.:3128/", "http://p.:3128"),
        ("https://p", "https://p:443"),
        ("socks4://p", "socks4://p:1080"),
        ("socks5://p:9050", "socks5://p:9050"),
        ("socks5h://[0:0::1]", "socks5h://[::1]:1080"),
        ("http://faß.de", "http://xn--fa-hia.de:80"),
    ],
)
def test_a_proxy_is_checked(value: str, redacted: str) -> None:
    proxy = parse_proxy(value)
    assert proxy is not None
    # What is dialled has no second reading, so it is what is shown.
    assert proxy.url == redacted
    scheme = redacted.partition(":")[0]
    assert proxy.scheme == scheme
    assert proxy.redacted == str(proxy) == redacted
    assert repr(proxy) == f"<Proxy {redacted}>"
    assert proxy.from_environment is (scheme == "env")
    assert proxy.server_name.strip(".") == proxy.server_name
    assert proxy.is_socks is scheme.startswith("socks")
    assert proxy.is_http is scheme.startswith("http")


def test_a_proxy_is_dialled_with_its_password_and_shown_without() -> None:
    proxy = parse_proxy("https://u%40:s3cret%2F@P")
    assert proxy is not None
    assert proxy.url == "https://u%40:s3cret%2F@p:443"
    assert proxy.redacted == "https://p:443"


def test_no_proxy_stays_none() -> None:
    assert parse_proxy(None) is None


def test_the_credentials_of_a_proxy() -> None:
    proxy = parse_proxy("http://us%40er:pa%3Ass@p")
    assert proxy is not None
    assert proxy.authorization is not None
    encoded = proxy.authorization.removeprefix("Basic ")
    assert base64.b64decode(encoded) == b"us@er:pa:ss"


@pytest.mark.parametrize(
    "value",
    [
        "", "p:3128", "p", "ftp://s3cret@p", "wss://p", "socks://p", "http://",
        "http://p/path", "http://p?s3cret", "http://p#s3cret", "http://p:0",
        "http://a..b", "http://p\r\n", "http://u:s3#cret@p", "http://127.1:80",
        "http://[fe80::1%25eth0]:80", "http://p[::1]:80",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^proxy must") as caught:
        parse_proxy(value)
    assert "s3cret" not in str(caught.value)


def test_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^proxy must be a URL, 'env' or None, not"):
        parse_proxy(8080)  # type: ignore[arg-type]
