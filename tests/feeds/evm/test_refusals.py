from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.evm.refusals import (
    MAX_HINT,
    Refusal,
    Understood,
    understood,
)
from tests.feeds.evm.providers import ANSWERS, Answer


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.who)
def test_each_provider_is_understood(answer: Answer) -> None:
    assert understood(answer.error) == Understood(
        answer.means, answer.blocks, answer.after
    )


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("Try with this block range [0x20, 0x10].", None),
        ("Try with this block range [0x0, 0xffffffffffffffff].", None),
        ("block range", {"from": 1, "to": []}),
        ("block range", {"from": "0x", "to": "0x1"}),
        ("block range, max range: 0", None),
        ("block range, max range: 99999999999999", None),
        ("block range, requested too large", {"details": {"maxAllowedRange": -1}}),
        ("block range, requested too large", {"details": {"maxAllowedRange": True}}),
    ],
)
def test_a_hint_that_is_none_is_left_out(message: str, data: Any) -> None:
    assert understood(RPCError(-32602, message, data)) == Understood(Refusal.TOO_WIDE)


def test_a_wait_that_is_none_is_left_out() -> None:
    data = {"rate": {"backoff_seconds": float("nan")}}
    assert understood(RPCError(429, "retry in", data)).after is None


@given(
    st.integers(),
    st.text(),
    st.recursive(
        st.none() | st.text() | st.floats() | st.integers() | st.booleans(),
        lambda inner: st.dictionaries(
            st.sampled_from(["from", "to", "rate", "details", "backoff_seconds"]), inner
        ),
    ),
)
def test_whatever_comes_it_is_understood_as_something_harmless(
    code: int, message: str, data: Any
) -> None:
    said = understood(RPCError(code, message, data))
    assert said.blocks is None or 1 <= said.blocks <= MAX_HINT
    assert said.after is None or 0 <= said.after <= MAX_HINT * 60


@given(
    st.sampled_from(["retry in ", "[0x", "range ", "max ", "1"]), st.integers(0, 10**6)
)
def test_a_long_text_takes_no_long_time(piece: str, times: int) -> None:
    # Only the beginning is looked at; what is matched there is short and bounded.
    understood(RPCError(-32602, piece * (times % 50_000)))
