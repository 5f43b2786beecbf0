from __future__ import annotations

from typing import Any, cast

import pytest

from resilient_ws import (
    Close,
    ConnectFailed,
    ConnectionLost,
    GaveUp,
    HandshakeRejected,
    LivenessTimeout,
    OpenTimeout,
    ProtocolError,
    SecurityError,
)
from resilient_ws.instruments.failure_types import error_type


def rejected(status: int, **more: Any) -> HandshakeRejected:
    return HandshakeRejected("no", status=status, headers={}, **more)


def closed(code: int) -> ConnectionLost:
    close = Close(code=code, reason="", initiator="peer", clean=True)
    return ConnectionLost("gone", how="close", close=close)


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (None, ""),
        (rejected(503), "503"),
        (rejected(407, by="proxy"), "proxy_407"),
        (ConnectFailed("no", stage="certificate"), "certificate"),
        (OpenTimeout("late", kind="restore", after=1), "restore_timeout"),
        (LivenessTimeout("deaf", kind="ping", after=1), "ping_timeout"),
        (ConnectionLost("gone", how="reset"), "reset"),
        (ProtocolError("bad", code=1002), "protocol"),
        (closed(1012), "close_1012"),
        (closed(3000), "close_3000"),
        (closed(4001), "close_4xxx"),
        (closed(3999), "close_other"),
        (SecurityError("no"), "SecurityError"),
        (GaveUp("no", attempts=1, elapsed=1, history=()), "GaveUp"),
        (KeyError("whatever on_open raised"), "on_open"),
    ],
)
def test_a_failure_has_a_word(failure: Exception | None, word: str) -> None:
    assert error_type(failure) == word


def test_a_server_cannot_make_more_than_a_few_words() -> None:
    statuses = {error_type(rejected(status)) for status in range(1000)}
    proxied = {error_type(rejected(n, by="proxy")) for n in range(1000)}
    codes = {error_type(closed(code)) for code in range(65_536)}
    assert error_type(rejected(799)) == "_OTHER"
    assert max(len(statuses), len(proxied)) < 70
    assert len(codes) == 16 + 3 + 2


def test_a_class_made_at_run_time_has_no_word_of_its_own() -> None:
    made = cast("type[Exception]", type("Made", (Exception,), {}))
    assert error_type(made()) == "on_open"
