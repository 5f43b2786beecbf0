"""What NO_PROXY excepts."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.no_proxy import excepted


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "h", 80, False),
        (" , ,", "h", 80, False),
        ("*", "h", 80, True),
        ("a, *", "h", 80, True),
        # Names: itself and all below it.
        ("example.com", "example.com", 80, True),
        ("example.com", "api.example.com", 80, True),
        ("example.com", "badexample.com", 80, False),
        ("example.com", "example.com.evil.org", 80, False),
        (".example.com", "api.example.com", 80, True),
        (".example.com", "example.com", 80, True),
        ("*.example.com", "api.example.com", 80, True),
        ("EXAMPLE.Com.", "example.com", 80, True),
        ("bücher.example", "xn--bcher-kva.example", 80, True),
        ("faß.de", "xn--fa-hia.de", 80, True),
        ("a b\tc", "b", 80, True),
        (" a ,  b ", "b", 80, True),
        ("localhost", "127.0.0.1", 80, False),
        ("com", "example.com", 80, True),
        # Ports.
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("example.com:8080", "api.example.com", 8080, True),
        ("127.0.0.1:9000", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "127.0.0.1", 9001, False),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]:9000", "::1", 9001, False),
        ("example.com:", "example.com", 80, False),
        ("example.com:x", "example.com", 80, False),
        # Addresses.
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1", "127.0.0.2", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("0:0:0:0:0:0:0:1", "::1", 80, True),
        ("FE80::1", "fe80::1", 80, True),
        ("fd00::1", "fd00::1:8080", 80, False),
        ("0.0.1", "127.0.0.1", 80, False),
        (".0.0.1", "127.0.0.1", 80, False),
        # Networks.
        ("127.0.0.0/8", "127.9.9.9", 80, True),
        ("127.0.0.1/8", "127.9.9.9", 80, True),
        ("127.0.0.0/8", "128.0.0.1", 80, False),
        ("10.0.0.0/8:9000", "10.1.1.1", 9000, True),
        ("10.0.0.0/8:9000", "10.1.1.1", 80, False),
        ("0.0.0.0/0", "8.8.8.8", 80, True),
        ("0.0.0.0/0", "::1", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("fd00::/8", "fe80::1", 80, False),
        ("[fd00::]/8", "fd12::1", 80, True),
        ("[fd00::]/8:9000", "fd12::1", 9000, True),
        ("10.0.0.0/8", "example.com", 80, False),
        ("10.0.0.0/255.0.0.0", "10.1.1.1", 80, True),
        # What is none of these.
        ("10.0.0.0/33", "10.0.0.1", 80, False),
        ("http://example.com", "example.com", 80, False),
        ("example..com", "example.com", 80, False),
        ("**", "example.com", 80, False),
        ("[::1", "::1", 80, False),
        (":80", "example.com", 80, False),
        ("/8", "10.0.0.1", 80, False),
        (".", "example.com", 80, False),
        ("127.1", "127.0.0.1", 80, False),
        ("[]", "127.0.0.1", 80, False),
        ("[]/8:80", "127.0.0.1", 80, False),
        ("example.com:" + "9" * 5000, "example.com", 80, False),
    ],
)
def test_what_is_excepted(no_proxy: str, host: str, port: int, direct: bool) -> None:
    assert excepted(no_proxy, host, port) is direct


@given(st.text())
def test_any_text_excepts_something_or_not(text: str) -> None:
    for host in ("example.com", "127.0.0.1", "::1"):
        assert excepted(text, host, 80) in (True, False)
        assert excepted(f"{text},*", host, 80)
