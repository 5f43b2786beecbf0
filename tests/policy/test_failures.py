"""Every row of the tables, every reading of Retry-After."""

from __future__ import annotations

import errno
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.errors import (
    ConnectFailed,
    ConnectionLost,
    Fatal,
    HandshakeRejected,
    LivenessTimeout,
    OpenTimeout,
    ProtocolError,
    SecurityError,
)
from resilient_ws.policy.failures import (
    Ending,
    Verdict,
    default_verdict,
    extra_delay,
)
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay
from resilient_ws.protocol.close import Close
from resilient_ws.state import State


if TYPE_CHECKING:
    from collections.abc import Mapping


RETRY, FRESH, FATAL = Verdict.RETRY, Verdict.RETRY_FRESH, Verdict.FATAL
NOW = 1_700_000_000.0


def ending(because: Exception, state: State = State.CONNECTING) -> Ending:
    return Ending(because=because, state=state)


def rejected(
    status: int, headers: Mapping[str, str] | None = None, by: Any = "server"
) -> HandshakeRejected:
    return HandshakeRejected("No.", status=status, headers=headers or {}, by=by)


def closed(code: int, **other: Any) -> ConnectionLost:
    record = Close(code=code, reason="", initiator="peer", clean=True)
    return ConnectionLost("Closed.", **{"how": "close", "close": record, **other})


STATUS_ROWS = {
    101: RETRY, 200: RETRY, 204: RETRY, 301: RETRY, 302: RETRY,
    400: FATAL, 401: FRESH, 402: RETRY, 403: FRESH, 404: FATAL, 405: FATAL,
    407: RETRY, 408: RETRY, 409: RETRY, 410: FATAL, 418: RETRY, 425: RETRY,
    426: FATAL, 429: RETRY, 451: RETRY,
    **dict.fromkeys(range(500, 600), RETRY),
}  # fmt: skip

CLOSE_ROWS = {
    1000: RETRY, 1001: RETRY, 1002: FATAL, 1003: FATAL, 1005: RETRY, 1006: RETRY,
    1007: FATAL, 1008: FRESH, 1009: FATAL, 1010: FATAL, 1011: RETRY, 1012: RETRY,
    1013: RETRY, 1014: RETRY, 3000: FRESH, 3001: RETRY, 3003: FRESH, 3008: RETRY,
    4000: RETRY, 4400: RETRY, 4401: FRESH, 4402: RETRY, 4403: FRESH, 4404: RETRY,
    4999: RETRY,
}  # fmt: skip


@pytest.mark.parametrize(("status", "verdict"), STATUS_ROWS.items())
def test_the_server_answers_with_a_status(status: int, verdict: Verdict) -> None:
    assert default_verdict(ending(rejected(status))) is verdict


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 407, 410, 426, 502, 503])
def test_a_proxy_answers_with_a_status(status: int) -> None:
    expected = FATAL if status == 407 else RETRY
    assert default_verdict(ending(rejected(status, by="proxy"))) is expected


@pytest.mark.parametrize(("code", "verdict"), CLOSE_ROWS.items())
def test_the_server_closes_with_a_code(code: int, verdict: Verdict) -> None:
    assert default_verdict(ending(closed(code), State.OPEN)) is verdict


@pytest.mark.parametrize(("code", "verdict"), CLOSE_ROWS.items())
def test_a_protocol_error_is_judged_by_its_own_code(
    code: int, verdict: Verdict
) -> None:
    record = Close(code=1000, reason="", initiator="peer", clean=False)
    error = ProtocolError("Bad frame.", code=code, close=record)
    assert default_verdict(ending(error)) is verdict


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        ("resolve", RETRY),
        ("connect", RETRY),
        ("tls", RETRY),
        ("certificate", FATAL),
        ("proxy", RETRY),
        ("handshake", RETRY),
    ],
)
def test_the_dial_fails_at_a_stage(stage: Any, verdict: Verdict) -> None:
    assert default_verdict(ending(ConnectFailed("No.", stage=stage))) is verdict


@pytest.mark.parametrize(
    ("because", "verdict"),
    [
        (SecurityError("refused"), FATAL),
        (Fatal("enough"), FATAL),
        (OpenTimeout("late", kind="open", after=10), RETRY),
        (OpenTimeout("late", kind="restore", after=30), RETRY),
        (LivenessTimeout("silent", kind="ping", after=40), RETRY),
        (LivenessTimeout("silent", kind="idle", after=40), RETRY),
        (ConnectionLost("reset", how="reset", errno=errno.ECONNRESET), RETRY),
        (ConnectionLost("eof", how="eof"), RETRY),
        (ConnectionLost("half", how="half_close"), RETRY),
        (ConnectionLost("write", how="write"), RETRY),
        (closed(1008, how="local"), RETRY),  # our own code is not the peer's opinion
        (RuntimeError("a bug in on_open"), RETRY),
        (TimeoutError(), RETRY),
        (OSError(errno.ENETUNREACH, "no network"), RETRY),
    ],
)
def test_everything_else(because: Exception, verdict: Verdict) -> None:
    assert default_verdict(ending(because)) is verdict


# --- the properties of an ending -----------------------------------------------------


def test_an_ending_tells_what_it_knows() -> None:
    lost = ConnectionLost("reset", how="reset", errno=errno.ECONNRESET)
    told = Ending(because=lost, state=State.OPEN, uptime=3.5)
    assert (told.how, told.errno, told.close, told.status) == (
        "reset", errno.ECONNRESET, None, None,
    )  # fmt: skip
    assert (told.state, told.uptime, told.stage, told.code) == (
        State.OPEN, 3.5, None, None,
    )  # fmt: skip
    assert ending(rejected(503)).status == 503
    assert ending(OSError(errno.EPIPE, "x")).errno == errno.EPIPE
    assert ending(ConnectFailed("x", stage="tls")).stage == "tls"
    record = closed(4000)
    assert ending(record).close is record.close
    foreign = ending(ValueError())
    assert (foreign.how, foreign.errno, foreign.close) == (None, None, None)


# --- extra delays --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("+5", 0),
        ("", 0),
        ("soon", 0),
        ("1e9", 0),
        ("٣", 0),
        ("nan", 0),
        ("9" * 400, 900),
        ("86400", 900),
        (formatdate(NOW + 60, usegmt=True), 60),
        (formatdate(NOW + 60), 60),  # -0000
        (formatdate(NOW - 60, usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900),
        ("Mon, 00 Foo 2020 99:99:99 GMT", 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    told = extra_delay(ending(rejected(503, {"retry-after": value})), NOW, 900)
    assert told == RetryDelay(seconds, "retry_after" if seconds else "wait")


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    headers = {
        "Date": formatdate(NOW, usegmt=True),
        "Retry-After": formatdate(NOW + 30, usegmt=True),
    }
    told = extra_delay(ending(rejected(503, headers)), 0.0, 900)
    assert told == RetryDelay(30, "retry_after")


@given(st.text(), st.floats(0, 1e10))
def test_no_retry_after_is_ever_negative_above_the_cap_or_an_error(
    value: str, now: float
) -> None:
    told = extra_delay(ending(rejected(429, {"retry-after": value})), now, 900)
    assert 0 <= told.seconds <= 900


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (1012, RetryDelay(5.0, "floor")),
        (1013, RetryDelay(5.0, "floor")),
        (1001, NO_EXTRA),
    ],
)
def test_restarting_and_overloaded_servers_get_time(
    code: int, told: RetryDelay
) -> None:
    assert extra_delay(ending(closed(code)), NOW, 900) == told


def test_an_ending_that_asks_for_nothing_adds_nothing() -> None:
    assert extra_delay(ending(rejected(503)), NOW, 900) == RetryDelay(0.0, "wait")
    assert extra_delay(ending(RuntimeError()), NOW, 900) == NO_EXTRA
