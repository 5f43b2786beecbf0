"""Hosts: one spelling, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.host import Host, parse_host
from resilient_ws.policy.url import parse_endpoint


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("my_device-1.local", "my_device-1.local"),
        ("faß.de", "xn--fa-hia.de"),
        ("FASS.de", "fass.de"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--FA-hia.de", "xn--fa-hia.de"),
        ("xn--i-7iq.ws", "xn--i-7iq.ws"),  # no IDNA 2008, but given as it is
        ("a\u3002b\uff0ec", "a.b.c"),  # dots, as browsers read them
        ("\uff45xample.com", "example.com"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),  # noqa: RUF001 - a joiner in its place
        ("1.example", "1.example"),
        ("127.0.0.1.example", "127.0.0.1.example"),
        ("0xg", "0xg"),
        ("a.0x1g", "a.0x1g"),
        ("127.0.0.1", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("\u2460\u2461\u2466.0.0.1", "127.0.0.1"),
        ("LOCALHOST.", "localhost"),
        ("a.localhost.", "a.localhost"),
        ("1e3", "1e3"),
        ("::1", "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_a_host_has_one_spelling(text: str, name: str) -> None:
    assert parse_host(text) == Host(name=name)


def test_a_trailing_dot_is_dialled_and_not_compared() -> None:
    assert parse_host("Example.com.") == Host(name="example.com", rooted=True)
    assert parse_host("faß.de\u3002") == Host(name="xn--fa-hia.de", rooted=True)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("fe80::1%25eth0", "eth0"),
        ("FE80::1%25wlp3s0", "wlp3s0"),
        ("febf::1%253", "3"),
        ("fe80::1%25br-0.100_a~", "br-0.100_a~"),
    ],
)
def test_a_link_local_address_has_a_zone(text: str, zone: str) -> None:
    host = parse_host(text)
    assert host.zone == zone
    assert ":" in host.name
    assert "%" not in host.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "letters, digits"),
        (".", "letters, digits"),
        ("a..", "letters, digits"),
        ("a..b", "letters, digits"),
        (".a", "letters, digits"),
        ("-a", "letters, digits"),
        ("a-", "letters, digits"),
        ("ex%61mple.com", "letters, digits"),
        ("a b", "letters, digits"),
        ("a" * 64, "letters, digits"),
        ("a." * 127 + "a", "letters, digits"),
        # Addresses to some resolvers, and names to others.
        ("127.1", "four decimal parts"),
        ("0", "four decimal parts"),
        ("2130706433", "four decimal parts"),
        ("0x7f000001", "four decimal parts"),
        ("0X7F000001", "four decimal parts"),
        ("0x", "four decimal parts"),
        ("0177.0.0.1", "four decimal parts"),
        ("127.0.0.01", "four decimal parts"),
        ("127.0.0.256", "four decimal parts"),
        ("127.0.0.0x1", "four decimal parts"),
        ("1.2.3.4.5", "four decimal parts"),
        ("example.1", "four decimal parts"),
        ("example.com.0x1.", "four decimal parts"),
        ("0o177.0.0.1", "four decimal parts"),
        ("127.0.0.1%00.evil.com", "letters, digits"),
        ("localhost%2e", "letters, digits"),
        ("lo\u200dcalhost", "IDNA 2008"),
        ("\u0661\u0662\u0667.0.0.1", "IDNA 2008"),
        ("\u202eabc.de", "IDNA 2008"),
        ("a\u3164b", "invisible"),
        ("\uff10\uff58\uff17\uff46.1", "four decimal parts"),
        ("\u2460", "four decimal parts"),
        # What IDNA 2003 would drop, or dial as something else.
        ("a\u200db.de", "IDNA 2008"),
        ("a\u200cb.de", "IDNA 2008"),
        ("a\u00adb.de", "invisible"),
        ("a\u200bb.de", "invisible"),
        ("a\u2060b.de", "invisible"),
        ("\ufeffa.de", "invisible"),
        ("a\ufe0fb.de", "invisible"),
        ("i\u2764.ws", "IDNA 2008"),
        ("\u0301a.de", "IDNA 2008"),
        ("a\u05d0.de", "IDNA 2008"),
        ("ä" * 64, "IDNA 2008"),
        ("ä" * 254, "at most 253"),
        ("xn--ä", "IDNA 2008"),
        ("\u2010a", "IDNA 2008"),
        ("a\uff0fb", "letters, digits"),
        # Addresses.
        ("::g", "IPv6"),
        ("1::2::3", "IPv6"),
        ("1.2.3.4:5", "IPv6"),
        ("fe80::1%eth0", "after %25"),
        ("fe80::1%", "after %25"),
        ("fe80::1%25", "after %25"),
        ("fe80::1%25a/b", "after %25"),
        ("fe80::1%25a%20b", "after %25"),
        ("::1%25lo", "link-local"),
        ("2001:db8::1%25eth0", "link-local"),
        ("fe80::g%25eth0", "IPv6"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        parse_host(text)
    assert words in str(caught.value)
    assert not isinstance(caught.value, UnicodeError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(max_size=40))
def test_the_spelling_of_a_spelling_is_itself(text: str) -> None:
    try:
        host = parse_host(text)
    except ValueError:
        return
    assert host.name.isascii()
    assert parse_host(host.name) == Host(name=host.name)


@pytest.mark.parametrize(
    ("url", "dialled", "told", "server_name"),
    [
        ("wss://h/", "h", "h", "h"),
        ("wss://h.:443/", "h.", "h", "h"),
        ("wss://h.:8443/", "h.", "h:8443", "h"),
        ("wss://[::1]/", "::1", "[::1]", "::1"),
        ("wss://[fe80::1%25e0]:1/", "fe80::1%e0", "[fe80::1]:1", "fe80::1"),
    ],
)
def test_what_is_dialled_told_and_certified(
    url: str, dialled: str, told: str, server_name: str
) -> None:
    endpoint = parse_endpoint(url)
    assert endpoint.dialled_host == dialled
    assert endpoint.host_header == told
    assert endpoint.server_name == server_name
