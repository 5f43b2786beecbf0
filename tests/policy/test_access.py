"""Where a session may go, by name and by address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.errors import SecurityError
from resilient_ws.policy.access import FETCH_BAD_PORTS, Access
from resilient_ws.policy.url import parse_endpoint


if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(check: Callable[..., None], *arguments: Any, **how: Any) -> str | None:
    try:
        check(*arguments, **how)
    except SecurityError as error:
        return str(error)
    return None


def allows(access: Access, url: str, **how: Any) -> bool:
    told = refusal(access.check_endpoint, parse_endpoint(url), **how)
    assert told is None or (told.startswith("ws") and told.endswith("."))
    return told is None


def allows_address(access: Access, ip: str, url: str = "wss://h/") -> bool:
    told = refusal(access.check_address, ip, parse_endpoint(url))
    assert told is None or ip in told
    return told is None


# --- ws:// ---------------------------------------------------------------------------

LOOPBACK = [
    "ws://localhost/",
    "ws://LOCALHOST./",
    "ws://api.localhost/",
    "ws://127.0.0.1/",
    "ws://127.9.9.9:8080/",
    "ws://[::1]/",
    "ws://[::ffff:127.0.0.1]/",
    "ws://0.0.0.0/",
    "ws://[::]/",
]
ELSEWHERE = [
    "ws://example.com/",
    "ws://localhost.example.com/",
    "ws://notlocalhost/",
    "ws://10.0.0.1/",
    "ws://[2001:db8::1]/",
    "ws://[64:ff9b::7f00:1]/",  # a gateway's loopback, not ours
]


@pytest.mark.parametrize("url", LOOPBACK)
def test_plain_loopback(url: str) -> None:
    assert allows(Access(), url)
    assert allows(Access(allow_insecure=True), url)
    assert not allows(Access(allow_insecure=False), url)
    assert not allows(Access(), url, proxied=True)
    assert allows(Access(allow_insecure=True), url, proxied=True)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_plain_elsewhere(url: str) -> None:
    assert not allows(Access(), url)
    assert allows(Access(allow_insecure=True), url)
    assert not allows(Access(allow_insecure=False), url)
    secure = url.replace("ws:", "wss:")
    assert allows(Access(allow_insecure=False), secure)


def test_the_refusal_names_the_remedy() -> None:
    for url, remedy in [
        ("ws://example.com/", "Access(allow_insecure=True)"),
        ("ws://localhost/", "Access(allow_insecure='loopback')"),
    ]:
        with pytest.raises(SecurityError) as caught:
            Access(allow_insecure=False).check_endpoint(parse_endpoint(url))
        assert remedy in str(caught.value)
        assert "use wss://" in str(caught.value)


@pytest.mark.parametrize(
    ("ip", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("10.0.0.1", False),
        ("93.184.216.34", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_what_is_allowed_as_loopback_must_resolve_to_it(ip: str, allowed: bool) -> None:
    assert allows_address(Access(), ip, "ws://localhost/") is allowed
    assert allows_address(Access(allow_insecure=True), ip, "ws://localhost/")
    assert allows_address(Access(), ip, "wss://localhost/")


# --- hosts and ports -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "host", "allowed"),
    [
        (["example.com"], "example.com", True),
        (["Example.COM."], "EXAMPLE.com.", True),
        (["example.com"], "api.example.com", False),
        (["*.example.com"], "api.example.com", True),
        (["*.example.com"], "a.b.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "badexample.com", False),
        (["example.com"], "example.com.evil.org", False),
        (["bücher.example"], "xn--bcher-kva.example", True),
        (["xn--bcher-kva.example"], "bücher.example", True),
        (["10.0.0.1", "::1"], "[0::1]", True),
        (["[::1]"], "[::1]", True),
        (["a.org", "b.org"], "b.org", True),
        ([], "example.com", False),
        (None, "example.com", True),
    ],
)
def test_allowed_hosts(patterns: list[str] | None, host: str, allowed: bool) -> None:
    access = Access(allowed_hosts=patterns)
    assert allows(access, f"wss://{host}/") is allowed
    assert allows(access, f"wss://{host}/", proxied=True) is allowed


def test_the_bad_ports_are_those_of_fetch() -> None:
    assert len(FETCH_BAD_PORTS) == 82
    for port in (1, 22, 25, 6665, 6666, 6667, 6668, 6669, 6697, 10080):
        assert not allows(Access(), f"wss://h:{port}/")
    for port in (80, 443, 1883, 8080, 8443, 9001, 65535):
        assert allows(Access(), f"wss://h:{port}/")


def test_blocked_ports_can_be_chosen() -> None:
    assert allows(Access(blocked_ports=()), "wss://h:25/")
    assert not allows(Access(blocked_ports=[8443]), "wss://h:8443/")


# --- private addresses ---------------------------------------------------------------

PUBLIC = [
    "93.184.216.34",
    "2606:2800:220:1::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::",
    "2620:fe::fe",
]
PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1",
    "::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "ff02::1", "2001:db8::1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::7f00:1",
    "2002:a00:1::", "2002:7f00:1::", "::7f00:1",
    # Not everybody's tables know these.
    "fec0::1", "feff::1", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "3fff::1",
    "3fff:fff::1", "5f00::1", "2001::1", "2001:2::1", "4000::1", "::ffff:0:7f00:1",
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "fc00::1%1", "febf::1",
]  # fmt: skip


@pytest.mark.parametrize("ip", PRIVATE)
def test_a_private_address_is_refused_when_asked_for(ip: str) -> None:
    assert allows_address(Access(), ip)
    assert not allows_address(Access(allow_private=False), ip)


@pytest.mark.parametrize("ip", PUBLIC)
def test_a_public_address_is_always_allowed(ip: str) -> None:
    assert allows_address(Access(allow_private=False), ip)


def test_a_private_destination_is_refused_before_any_packet() -> None:
    access = Access(allow_private=False, allow_insecure=True)
    for url in (
        "ws://localhost/",
        "wss://a.localhost/",
        "wss://[::1]/",
        "ws://10.0.0.1",
    ):
        assert not allows(access, url)
    assert allows(access, "wss://8.8.8.8/")
    assert allows(access, "wss://internal.example/")  # its address comes later


def test_behind_a_proxy_only_names_are_vetted() -> None:
    access = Access(allow_private=False)
    assert allows(access, "wss://internal.example/", proxied=True)
    assert not allows(access, "wss://localhost/", proxied=True)
    assert not allows(access, "wss://10.0.0.1/", proxied=True)
    assert not allows(access, "wss://[::1]/", proxied=True)


# --- redirects -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "hops", "words"),
    [
        ("wss://a/", "wss://b/", 5, None),
        ("wss://a/", "wss://b/", 6, "max_redirects (5)"),
        ("wss://a/", "ws://a/", 1, "gives up encryption"),
        ("wss://a/", "ws://localhost/", 1, "gives up encryption"),
        ("ws://localhost/", "wss://a/", 1, None),
        ("ws://localhost/", "ws://a/", 1, "is not encrypted"),
        ("wss://a/", "wss://a:25/", 1, "blocked_ports"),
    ],
)
def test_redirects(source: str, target: str, hops: int, words: str | None) -> None:
    arguments = parse_endpoint(source), parse_endpoint(target), hops
    access = Access(allow_redirects="any")
    if words is None:
        access.check_redirect(*arguments)
        return
    with pytest.raises(SecurityError) as caught:
        access.check_redirect(*arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("source", "target", "same"),
    [
        ("wss://a/", "wss://a/b?c", True),
        ("wss://a/", "wss://A:443/", True),
        ("wss://a:1234/", "wss://a:1234/b", True),
        ("wss://a/", "wss://b/", False),
        ("wss://a/", "wss://a.b/", False),
        ("wss://b.a/", "wss://a/", False),
        ("wss://a/", "wss://a:8443/", False),
        # Where servers lead to their encrypted side.
        ("ws://localhost/", "wss://localhost/", True),
        ("ws://localhost/", "wss://localhost:8443/", False),
        ("ws://localhost:8080/", "wss://localhost/", False),
        ("ws://localhost/", "wss://a/", False),
        ("ws://localhost:443/", "wss://localhost/", False),
    ],
)
def test_redirects_stay_within_their_origin(
    source: str, target: str, *, same: bool
) -> None:
    endpoints = parse_endpoint(source), parse_endpoint(target)
    Access(allow_redirects="any").check_redirect(*endpoints, 1)
    with pytest.raises(SecurityError, match="follows no redirect"):
        Access(allow_redirects="none").check_redirect(*endpoints, 1)
    if same:
        Access().check_redirect(*endpoints, 1)
        return
    with pytest.raises(SecurityError, match="another origin"):
        Access().check_redirect(*endpoints, 1)


def test_not_even_permission_allows_a_downgrade() -> None:
    endpoints = parse_endpoint("wss://a/"), parse_endpoint("ws://a/")
    with pytest.raises(SecurityError, match="gives up encryption"):
        Access(allow_insecure=True).check_redirect(*endpoints, 1)


def test_redirects_can_be_switched_off() -> None:
    endpoints = parse_endpoint("wss://a/"), parse_endpoint("wss://a/b")
    with pytest.raises(SecurityError, match="max_redirects"):
        Access(max_redirects=0).check_redirect(*endpoints, 1)


def test_no_refusal_shows_a_secret() -> None:
    source = parse_endpoint("wss://s3cret@a/?t=s3cret")
    target = parse_endpoint("ws://s3cret@b/?t=s3cret")
    for hops in (1, 9):
        with pytest.raises(SecurityError) as caught:
            Access().check_redirect(source, target, hops)
        assert "s3cret" not in str(caught.value)


# --- validation ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"allow_insecure": "yes"},
            ValueError,
            "Access.allow_insecure must be one of 'loopback', True, False, not 'yes'.",
        ),
        ({"allow_insecure": 1}, TypeError, "Access.allow_insecure must be one of"),
        (
            {"allow_private": None},
            TypeError,
            "Access.allow_private must be one of True, False, not None.",
        ),
        (
            {"allowed_hosts": "example.com"},
            TypeError,
            "Access.allowed_hosts must be a collection of host names, not a value of type str.",
        ),
        ({"allowed_hosts": 5}, TypeError, "Access.allowed_hosts must be a collection"),
        (
            {"allowed_hosts": [5]},
            TypeError,
            "Every item of Access.allowed_hosts must be a str",
        ),
        (
            {"allowed_hosts": ["wss://h/"]},
            ValueError,
            "without scheme, port or path, not 'wss://h/'.",
        ),
        ({"allowed_hosts": ["*"]}, ValueError, "Access.allowed_hosts must hold hosts"),
        (
            {"allowed_hosts": ["a.*.b"]},
            ValueError,
            "Access.allowed_hosts must hold hosts",
        ),
        (
            {"blocked_ports": "25"},
            TypeError,
            "Access.blocked_ports must be a collection",
        ),
        ({"blocked_ports": 25}, TypeError, "Access.blocked_ports must be a collection"),
        ({"blocked_ports": ["25"]}, TypeError, "Every item of Access.blocked_ports"),
        (
            {"allow_redirects": "all"},
            ValueError,
            "Access.allow_redirects must be",
        ),
        (
            {"max_redirects": -1},
            ValueError,
            "Access.max_redirects must be a whole number, 0 or more, not -1.",
        ),
        (
            {"max_redirects": True},
            TypeError,
            "Access.max_redirects must be a whole number",
        ),
    ],
)
def test_a_policy_checks_itself(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Access(**arguments)
    assert message in str(caught.value)


def test_any_collection_will_do() -> None:
    assert Access(allowed_hosts={"a.org"}).allowed_hosts == ("a.org",)
    assert Access(blocked_ports=(n for n in (1, 2))).blocked_ports == {1, 2}
