"""What looks like a key, and what does not."""

from __future__ import annotations

import random
import secrets
import string

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.redaction import looks_like_key, shown_target


@pytest.mark.parametrize(
    "segment",
    [
        "84842078b09946638c03157f83405213",  # Infura: 32 hexadecimal digits
        "lcHHZMzPZsGLuYxQyZ-Kxk8Wj0u3QyYf",  # Alchemy: 32 of Base64
        "_gg7wSSi0KMBsdKnGVfHDueq6xMB9EkC",
        "4c3ea0a8a8d1d7d9ab7ac8c1a6f0b2c3d4e5f607",  # QuickNode: 40
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "XXXXXXXXXXXXXXXXXXXXXXXX",  # Slack: 24
        "a1B2c3D4e5F6g7H8i9J0k1L2",
        "bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",  # Telegram
        "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
        "xoxb-2f4a6c8e0b-1d3f5a7c9e-Zk3Jq8Lm2Np5",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",  # UUIDs are keys to some
        "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
        "0x52908400098527886e0f7030069857d2e4169ee7",
        "84842078b0994663%388c03157f83405213",
        "qwertzuiopasdfghjklyxcvbnm",
        "1234567890123456789012345",
        "a1b2c3d4e5f6g7h8",
    ],
)
def test_a_key(segment: str) -> None:
    assert looks_like_key(segment)
    assert shown_target(f"/ws/{segment}/x") == "/ws/***/x"


@pytest.mark.parametrize(
    "segment",
    [
        "",
        "ws",
        "v3",
        "v1.2.3",
        "api",
        "feed.json",
        "btcusdt@aggTrade",
        "btcusdt@depth20@100ms",
        "btcusdt@kline_1m",
        "!miniTicker@arr@3000ms",
        "BTCUSDT_PERP",
        "T00000000",
        "internationalization",
        "getUserAccountNotifications",
        "subscriptions-for-everything-and-more",
        "a_very_long_name_of_a_channel_with_words",
        "GraphQLSubscriptionsV2",
        "2024-01-31T12:00:00.000Z",
        "20240131120000",
        "175928847299117063",
        "user12345678",
        "device-0042",
        "temperature-sensor-livingroom-2",
        "my-app-7d9f8b6c5d-x2x4z",
        "%E4%B8%AD%E6%96%87%E9%A2%91%E9%81%93",
        "socket.io",
        "index.php",
        "..",
        "%zz",
    ],
)
def test_no_key(segment: str) -> None:
    assert not looks_like_key(segment)
    assert shown_target(f"/x/{segment}") == f"/x/{segment}"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/", "/"),
        ("/a/../b%7E?k=A%2FB&t=x", "/a/../b%7E?k=***&t=***"),
        ("/?", "/?"),
        ("/?a=1&b&&c=", "/?a=***&***&***&c=***"),
        ("/a;jsessionid=1;b/c=d", "/a;jsessionid=***;b/c=***"),
        ("/token=", "/token=***"),
        ("/c2VjcmV0==/x", "/***/x"),
        ("/?c2VjcmV0==", "/?***"),
        ("/?84842078b09946638c03157f83405213=1", "/?***=***"),
        ("//h//", "//h//"),
    ],
)
def test_what_is_shown_of_a_target(target: str, shown: str) -> None:
    assert shown_target(target) == shown


def test_random_keys_of_every_alphabet_are_hidden() -> None:
    """Of 20,000 at most one in a thousand reads like a word by chance."""
    chosen = random.Random(7)
    alphabets = [
        (string.hexdigits.lower()[:16], 32),
        (string.ascii_letters + string.digits, 24),
        (string.ascii_letters + string.digits + "-_", 32),
        (string.ascii_lowercase + string.digits, 26),
    ]
    missed = 0
    for _ in range(5_000):
        for alphabet, size in alphabets:
            missed += not looks_like_key("".join(chosen.choices(alphabet, k=size)))
    assert missed <= 20
    assert all(looks_like_key(secrets.token_hex(32)) for _ in range(1_000))


@given(st.text(alphabet=string.printable.strip() + "ä"))
def test_what_is_shown_is_shown_as_it_is_or_hidden(target: str) -> None:
    shown = shown_target(f"/{target}")
    assert shown.startswith("/")
    assert len(shown.split("/")) >= shown.count("/") + 1
    assert shown_target(shown).count("***") >= shown.count("***=")
