"""URLs: read in one way only, shown without their secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.errors import SecurityError
from resilient_ws.policy.url import Endpoint, parse_endpoint, redirected, same_origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("ws://example.com", ("ws", "example.com", 80)),
        ("wss://example.com", ("wss", "example.com", 443)),
        ("WSS://EXAMPLE.com./a", ("wss", "example.com", 443)),
        ("wss://example.com:/a", ("wss", "example.com", 443)),
        ("wss://example.com:8443/a/b?c=d&e", ("wss", "example.com", 8443)),
        ("wss://bücher.example/", ("wss", "xn--bcher-kva.example", 443)),
        ("ws://[::1]:9000/", ("ws", "::1", 9000)),
        ("ws://[0:0::1]/", ("ws", "::1", 80)),
        ("ws://127.0.0.1/", ("ws", "127.0.0.1", 80)),
        ("wss://my_device-1.local/", ("wss", "my_device-1.local", 443)),
        ("ws://[FE80::1%25eth0]/", ("ws", "fe80::1%eth0", 80)),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: tuple[str, str, int]) -> None:
    endpoint = parse_endpoint(url)
    assert endpoint.origin == origin
    assert endpoint.secure is (endpoint.scheme == "wss")


@pytest.mark.parametrize(
    ("behind", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("?", "/?"),
        ("?x=1", "/?x=1"),
        ("/?", "/?"),
        ("/a?", "/a?"),
        ("/a??", "/a??"),
        ("/a/../b%7E?k=A%2FB&t=x%3Ay%21", None),
        ("/./a/./../%2e%2E/b/..", None),
        ("//a//b/", None),
        ("//other.example/b", None),
        ("/%zz%", None),
        ("/%2f%2F%c3%A4", None),
        ("/a;b=c;;d?e;f", None),
        ("/a?b?c/d@e:f|g", None),
        ("/@:80/:@", None),
        ("/a+b?c+d=%20&&=&", None),
        ("/!$&'()*,;=~-._", None),
        ('/{"a":[1]}?^`<b>', None),
        ("/ä?ö=ü", "/%C3%A4?%C3%B6=%C3%BC"),
        ("/%C3%A4ä%E4", "/%C3%A4%C3%A4%E4"),
        ("?ä", "/?%C3%A4"),
        ("/\U0001f600", "/%F0%9F%98%80"),
    ],
)
def test_the_target_is_what_was_given_byte_for_byte(
    behind: str, target: str | None
) -> None:
    endpoint = parse_endpoint(f"wss://user:pass@example.com:8443{behind}")
    assert endpoint.target == (behind if target is None else target)
    assert endpoint.http_url == f"https://example.com:8443{endpoint.target}"


@given(st.text(alphabet=[chr(n) for n in range(33, 127) if chr(n) not in "\\#"]))
def test_any_printable_target_is_left_as_it_is(text: str) -> None:
    assert parse_endpoint(f"wss://h/{text}").target == f"/{text}"
    assert parse_endpoint(f"wss://h?{text}").target == f"/?{text}"


@pytest.mark.parametrize(
    ("url", "http_url"),
    [
        ("ws://u:p@example.com/a?b=c", "http://example.com/a?b=c"),
        ("wss://example.com:443/", "https://example.com/"),
        ("wss://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("wss://example.com.:8443/", "https://example.com.:8443/"),
        ("wss://[fe80::1%25eth0]/", "https://[fe80::1%25eth0]/"),
    ],
)
def test_the_dialler_is_given_http_without_userinfo(url: str, http_url: str) -> None:
    assert parse_endpoint(url).http_url == http_url


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("wss://user:pass@h/", b"user:pass"),
        ("wss://user@h/", b"user:"),
        ("wss://:pass@h/", b":pass"),
        ("wss://us%40er:p%3Aa%2Fss%25@h/", b"us@er:p:a/ss%"),
        ("wss://a@b:c@h/", b"a@b:c"),
        ("wss://%C3%BC:%FF@h/", b"\xc3\xbc:\xff"),
        ("wss://@h/", None),
        ("wss://h/", None),
    ],
)
def test_userinfo_becomes_a_basic_header(url: str, credentials: bytes | None) -> None:
    header = parse_endpoint(url).authorization
    if credentials is None:
        assert header is None
    else:
        assert header is not None
        assert base64.b64decode(header.removeprefix("Basic ")) == credentials


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h/", "must start with ws://, not http://"),
        ("https://h/", "must start with wss://, not https://"),
        ("ftp://h/", "must start with ws:// or wss://"),
        ("h/path", "must be absolute"),
        ("", "must be absolute"),
        ("wss:/h", "must be absolute"),
        ("wss://", "must be absolute"),
        ("wss:///path", "must be absolute"),
        ("wss://:443/", "must have a valid host"),
        ("wss://user@/", "must have a valid host"),
        ("wss://[::1/", "must have a valid host"),
        ("wss://[zz]/", "host"),
        ("wss://a..b/", "must name a valid host"),
        ("wss://-a/", "must name a valid host"),
        ("wss://ex%61mple.com/", "must name a valid host"),
        ("wss://a<b/", "must name a valid host"),
        ("wss://" + "a" * 64 + "/", "must name a valid host"),
        ("wss://" + "ä" * 64 + "/", "must name a valid host"),
        ("wss://" + "a." * 127 + "a/", "must name a valid host"),
        ("wss://h/#", "must not have a fragment"),
        ("wss://h/#part", "must not have a fragment"),
        ("wss://h:0/", "port from 1 to 65535"),
        ("wss://h:65536/", "port from 1 to 65535"),
        ("wss://h:x/", "port from 1 to 65535"),
        ("wss://h:-1/", "port from 1 to 65535"),
        (" wss://h/", "position 0"),
        ("wss://h/a b", "whitespace"),
        ("wss://h/\r\nX: y", "control characters"),
        ("ws\ts://h/", "control characters"),
        ("wss://h/\x00", "control characters"),
        ("wss://h/\x85", "control characters"),
        ("wss://h/\u2028", "whitespace"),
        ("wss://h/\ud800", "control characters"),
        ("wss://good.com\\@evil.com/", "backslash"),
        ("wss://a%3Ab:c@h/", "colon in its user name"),
        ("wss://ev\u2100il.com/", "must have a valid host"),
        ("wss://127.0.0.1[::1]/", "must have a valid host"),
        ("wss://[::1]evil.com/", "must have a valid host"),
        ("wss://[::1][::2]/", "must have a valid host"),
        ("wss://[v1.x]/", "must have a valid host"),
        ("wss://[v1.x:y]/", "must have a valid host"),
        ("wss://[127.0.0.1]:80/", "must have a valid host"),
        ("wss://127.1/", "must be an IPv4 address in four decimal parts"),
        ("wss://i\u2764.ws/", "must be valid in IDNA 2008"),
        ("wss://[fe80::1%eth0]/", "after %25"),
        ("wss://[::1%25lo]/", "only a link-local address"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^url must") as caught:
        parse_endpoint(url)
    assert words in str(caught.value)


@pytest.mark.parametrize("url", [None, 1, b"wss://h/"])
def test_another_type_is_refused(url: Any) -> None:
    with pytest.raises(TypeError, match=r"^url must be a str, not"):
        parse_endpoint(url)


def test_the_message_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"^url\[1\] must"):
        parse_endpoint("nonsense", name="url[1]")


# --- secrets -------------------------------------------------------------------------

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("wss://s3cret:s3cret@h/p?token=s3cret&b=s3cret", "wss://h/p?token=***&b=***"),
        ("wss://h/?s3cret", "wss://h/?***"),
        ("wss://h/?a=1;b=s3cret&&c=", "wss://h/?a=***&***&c=***"),
        ("wss://h:9/p", "wss://h:9/p"),
        ("wss://h./p?", "wss://h./p?"),
        ("wss://[fe80::1%25eth0]:9/p", "wss://[fe80::1%25eth0]:9/p"),
        ("wss://h/v3/84842078b09946638c03157f83405213", "wss://h/v3/***"),
    ],
)
def test_an_endpoint_shows_no_secret(url: str, redacted: str) -> None:
    endpoint = parse_endpoint(url)
    assert endpoint.redacted == str(endpoint) == f"{endpoint}" == redacted
    assert repr(endpoint) == f"<Endpoint {redacted}>"


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@h/?t=s3cret",
        "wss://u:s3cret@h:x/",
        "wss://u:s3cret@a..b/?t=s3cret",
        "wss://u:s3cret@ev\u2100il.com/",
        "wss://u:s3cret@[x/",
        "wss://u:s3cret@h/ ?t=s3cret",
        "wss://s3cret%3A:s3cret@h/",
        "wss://h/?s3cret#s3cret",
    ],
)
def test_a_refusal_shows_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        parse_endpoint(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for url in (text, f"wss://{text}", f"wss://h/{text}"):
        try:
            endpoint = parse_endpoint(url)
        except ValueError:
            continue
        assert endpoint.http_url.isascii()
        again = parse_endpoint(
            f"{endpoint.scheme}{endpoint.http_url.partition('http')[2].removeprefix('s')}"
        )
        assert again.origin == endpoint.origin


# --- origins and redirects -----------------------------------------------------------


def test_an_origin_is_scheme_host_and_port() -> None:
    here = parse_endpoint("wss://h/a")
    assert same_origin(here, parse_endpoint("wss://H.:443/b?c"))
    here = parse_endpoint("ws://[fe80::1%25a]/")
    assert same_origin(here, parse_endpoint("wss://[fe80::1%25a]/"))
    assert not same_origin(here, parse_endpoint("wss://[fe80::1%25b]/"))
    here = parse_endpoint("wss://h/a")
    for other in ("ws://h/a", "wss://g/a", "wss://h:8443/a"):
        assert not same_origin(here, parse_endpoint(other))
    # The encrypted side of the same host, where servers lead to, is no other.
    plain = parse_endpoint("ws://h/a")
    assert same_origin(plain, here)
    for other in ("wss://g/a", "wss://h:8443/a", "ws://h:443/a"):
        assert not same_origin(plain, parse_endpoint(other))
    assert not same_origin(parse_endpoint("ws://h:8080/a"), here)


def follow(location: str, source: str = "wss://u:p@h/a/b?c=d") -> Endpoint:
    return redirected(parse_endpoint(source), location)


@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        ("/x?y=1", ("wss", "h", 443), "/x?y=1"),
        ("x", ("wss", "h", 443), "/a/x"),
        ("//g/x", ("wss", "g", 443), "/x"),
        ("https://g/x", ("wss", "g", 443), "/x"),
        ("http://g/x", ("ws", "g", 80), "/x"),
        ("wss://g:9/x#part", ("wss", "g", 9), "/x"),
        ("ws://g", ("ws", "g", 80), "/"),
        ("HTTPS://G./x", ("wss", "g", 443), "/x"),
        ("", ("wss", "h", 443), "/a/b?c=d"),
        ("?", ("wss", "h", 443), "/a/b?"),
        ("/../b%7E?k=A%2FB&t=x%3Ay%21", ("wss", "h", 443), "/b%7E?k=A%2FB&t=x%3Ay%21"),
        ("https://g/%2e%2E/b;?", ("wss", "g", 443), "/%2e%2E/b;?"),
        ("/\udce4ä%E4", ("wss", "h", 443), "/%E4%C3%A4%E4"),
        ("https://[fe80::2]/", ("wss", "fe80::2", 443), "/"),
    ],
)
def test_a_location_leads_to_an_endpoint(
    location: str, origin: tuple[str, str, int], target: str
) -> None:
    endpoint = follow(location)
    assert (endpoint.origin, endpoint.target) == (origin, target)


def test_credentials_stay_within_their_origin() -> None:
    source = parse_endpoint("wss://u:p@h/")
    assert follow("/x").authorization == source.authorization
    assert follow("https://h/x").authorization == source.authorization
    assert follow("https://g/x").authorization is None
    assert follow("https://evil:evil@g/x").authorization is None
    assert follow("https://evil:evil@h/x").authorization == source.authorization


def test_a_location_stays_on_the_link_of_its_source() -> None:
    source = "wss://u:p@[fe80::1%25eth0]/a"
    for location in ("b", "https://[fe80::1]/b", "https://[fe80::1%25eth0]/b"):
        endpoint = follow(location, source)
        assert (endpoint.zone, endpoint.target) == ("eth0", "/b")
        assert endpoint.authorization is not None
    assert follow("//[2001:db8::1]/", source).zone == ""
    with pytest.raises(SecurityError, match="name an interface of this machine"):
        follow("https://[fe80::1%25eth1]/", source)


def test_a_location_keeps_the_dot_of_its_source_only_where_it_inherits_it() -> None:
    assert follow("b", "wss://h./").dialled_host == "h."
    assert follow("//h/b", "wss://h./").dialled_host == "h"
    assert same_origin(follow("//h/b", "wss://h./"), parse_endpoint("wss://h./"))


@pytest.mark.parametrize(
    "location",
    [
        "ftp://g/",
        "javascript:alert(1)",
        "http://",
        "https:x",
        "/a\r\nb",
        "//a..b/",
        "//127.1/",
        "//0x7f000001/",
        "//\udce4/",
        "/\ud800",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_a_location_that_leads_nowhere_is_refused(location: str) -> None:
    with pytest.raises(SecurityError, match=r"^wss://h/a/b\?c=\*\*\* redirects to"):
        follow(location)
