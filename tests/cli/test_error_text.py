"""Errors speak of the options of the command."""

from __future__ import annotations

import pytest

from resilient_ws import ConnectionLost
from resilient_ws.cli.error_text import error_text, with_option_names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("url must not hold a fragment", "URL must not hold a fragment"),
        ("headers['A'] must be text", "--header['A'] must be text"),
        ("subprotocols[0] is empty", "--subprotocol[0] is empty"),
        ("Reconnect.max_outage must be positive", "--give-up-after must be positive"),
        (
            "use wss://, or Access(allow_insecure= True) if it is trusted",
            "use wss://, or --allow-insecure if it is trusted",
        ),
        (
            "on_open did not finish within 30 s (timeouts.restore).",
            "--on-open did not finish within 30 s.",
        ),
        (
            "no connection (ECONNREFUSED, Connect call failed ('127.0.0.1', 9000)).",
            "no connection (connection refused).",
        ),
        ("it failed (ENOSUCHTHING, odd).", "it failed (ENOSUCHTHING, odd)."),
        ("proxy must be a URL", "--proxy must be a URL"),
        ("Liveness.ping_interval must be", "--ping must be"),
        (
            "give ssl a context that trusts it, such as "  # noqa: ISC004 - one text
            "ssl.create_default_context(cafile=...).",
            "give --cafile a file with it.",
        ),
        (
            "port 9, which Access.blocked_ports lists: another protocol lives there",
            "port 9, which browsers block too: another protocol lives there",
        ),
        # Common words inside a text are left alone.
        ("the url and headers of on_open", "the url and headers of on_open"),
    ],
)
def test_an_error_speaks_of_options(text: str, told: str) -> None:
    assert with_option_names(text) == told
    assert error_text(ConnectionLost(text, how="close")) == told


def test_the_text_of_a_stranger_s_error_may_be_a_secret() -> None:
    assert error_text(KeyError("planted")) == "KeyError"
