"""Through whom a connection is dialled."""

from __future__ import annotations

import base64

import pytest

from resilient_ws.policy.proxy import parse_proxy


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
