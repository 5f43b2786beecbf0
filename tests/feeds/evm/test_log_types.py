from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds import Undecodable
from resilient_ws.feeds.evm.log_types import log_of, logs_of
from tests.feeds.evm.fake_node import FakeNode


def sent(**changes: Any) -> dict[str, Any]:
    return {**FakeNode([0, 2]).logs(1)[1], **changes}


def test_fields_are_decoded_exactly_and_unknown_ones_kept() -> None:
    log = log_of(
        sent(
            address="0x" + "AB" * 20,
            data="0x" + "Ff" * 40,
            blockNumber=hex(2**70),
            blockTimestamp="0x10",
            somethingNew=[1],
        )
    )
    assert log.address == "0x" + "ab" * 20
    assert log.data == "0x" + "ff" * 40
    assert log.blockNumber == 2**70
    assert log.blockTimestamp == 16
    assert log.extra == {"somethingNew": [1]}
    assert log.block.number == 2**70
    assert log.block.hash == log.blockHash
    # What a node says of removals is not looked at.
    assert log_of(sent(removed=True)) == log_of(sent())
    assert log_of(sent()).blockTimestamp is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", None),
        ("topics", "0x"),
        ("topics", ["0x12"]),
        ("data", 5),
        ("blockNumber", None),  # of a block that is not mined
        ("blockHash", "0x12"),
        ("logIndex", "1"),
        ("blockTimestamp", 5),
    ],
)
def test_a_malformed_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(Undecodable, match="A field of a log is not"):
        log_of(sent(**{field: value}))


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_no_log_is_refused(value: Any) -> None:
    with pytest.raises(Undecodable):
        logs_of([value])
    if value != []:
        with pytest.raises(Undecodable):
            logs_of(value)
