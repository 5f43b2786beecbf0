"""The arguments of connect() and the fields of Settings are the same."""

from __future__ import annotations

import inspect
from typing import Any, Final

import attrs
import pytest

import resilient_ws
from resilient_ws import Access, Liveness, Outbox, SecurityError, Timeouts
from resilient_ws.settings import Settings


URL = "wss://stream.example.com/feed"
PARAMETERS: Final = inspect.signature(resilient_ws.connect).parameters


def settings(url: Any = URL, **arguments: Any) -> Settings:
    """What connect() makes of its arguments."""
    defaults = {name: one.default for name, one in PARAMETERS.items()}
    return Settings(**{**defaults, "url": url, **arguments})


def test_settings_have_a_field_for_each_argument() -> None:
    fields = {field.alias for field in attrs.fields(Settings) if field.init}
    assert fields == set(PARAMETERS)


def test_every_argument_is_documented_in_its_order() -> None:
    documented = inspect.getdoc(resilient_ws.connect) or ""
    arguments = documented.partition("Args:\n")[2].partition("\n\nRaises:")[0]
    lines = [line for line in arguments.splitlines() if line[4] != " "]
    assert [line.strip().partition(":")[0] for line in lines] == list(PARAMETERS)


def test_what_is_left_out_has_its_default() -> None:
    made = settings()
    assert [endpoint.redacted for endpoint in made.endpoints] == [URL]  # type: ignore[union-attr]
    assert (made.headers, made.subprotocols, made.proxy) == ((), (), None)
    assert made.deflate is not None
    assert made.wait_open == 60.0
    assert (made.timeouts, made.outbox) == (Timeouts(), Outbox())
    # One for all: a policy holds no state.
    assert made.liveness is settings().liveness


def test_what_is_given_is_kept_or_parsed() -> None:
    liveness = Liveness(ping_interval=5)
    made = settings(
        ["wss://a.example", "wss://b.example"],
        headers={"X-A": "1"},
        compression=None,
        proxy="http://proxy.example.com",
        liveness=liveness,
        wait_open=5,
        subprotocols=["mqtt"],
    )
    assert made.members == 2
    assert made.headers == (("X-A", "1"),)
    assert made.deflate is None
    assert made.proxy is not None
    assert made.proxy.port == 80
    assert made.liveness is liveness
    assert (made.wait_open, type(made.wait_open)) == (5.0, float)
    assert made.subprotocols == ("mqtt",)


def test_the_name_is_the_first_endpoint_unless_one_is_given() -> None:
    assert settings(f"{URL}?token=secret").name == f"{URL}?token=***"
    assert settings(lambda _: URL).name == "a URL per attempt"
    assert settings(name="feed").name == "feed"
    assert settings(name="feed").where == URL


def test_a_later_url_is_checked_as_the_first_ones_are() -> None:
    made = settings(access=Access(allowed_hosts=["*.example.com"]))
    assert made.endpoint("wss://other.example.com").host == "other.example.com"
    with pytest.raises(SecurityError):
        made.endpoint("wss://example.org")
    with pytest.raises(ValueError, match=r"^url"):
        made.endpoint("https://other.example.com")


def test_an_endpoint_is_checked_even_where_validators_are_switched_off() -> None:
    with attrs.validators.disabled(), pytest.raises(SecurityError):
        settings("ws://example.com")
