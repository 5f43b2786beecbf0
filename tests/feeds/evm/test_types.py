from __future__ import annotations

from typing import Any

import msgspec
import pytest

from resilient_ws.feeds import Undecodable
from resilient_ws.feeds.evm import Cursor, Head
from resilient_ws.feeds.evm.hexadecimal import block_hash, data, quantity
from resilient_ws.feeds.evm.types import head_of


HASH = "0x" + "Ab" * 32
SENT: dict[str, Any] = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": "0x" + "00" * 32,
    "timestamp": "0x6553f100",
}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0x0", 0),
        ("0x00", 0),
        ("0xfF", 255),
        ("0x" + "f" * 64, 2**256 - 1),
        ("0x1" + "0" * 1000, 16**1000),
    ],
)
def test_a_quantity_is_a_number_of_any_size(text: str, number: int) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", "0x", "10", "0X1", "0x_1", "0x1_0", "-0x1", "0x-1", " 0x1", "0x1\n"),
        *("0xg", "0x\u0661", None, 16, True, 1.0, b"0x1", ["0x1"]),
    ],
)
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(value)


def test_data_is_text_in_lower_case() -> None:
    assert data("0x") == "0x"
    assert data("0xABcd") == "0xabcd"
    assert block_hash(HASH) == "0x" + "ab" * 32


@pytest.mark.parametrize("value", ["", "0xa", "ab", "0xgg", "0xab\n", None, 1, b"0x"])
def test_what_is_no_data_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not data"):
        data(value)
    with pytest.raises(ValueError, match="not a hash"):
        block_hash(value)


def test_a_head_has_the_fields_of_the_execution_api() -> None:
    head = head_of(
        {
            **SENT,
            "baseFeePerGas": "0x7",
            "logsBloom": "0x" + "00" * 256,
            "miner": "0x" + "AA" * 20,
            "transactions": [HASH],
            "uncles": [],
            "withdrawals": [{"index": "0x1"}],
            "requestsHash": None,
            "l1BlockNumber": "0x5",
            "sendRoot": HASH,
        }
    )
    assert (head.number, head.timestamp, head.baseFeePerGas) == (16, 1_700_000_000, 7)
    assert head.hash == HASH.lower()
    assert head.transactions == (HASH.lower(),)
    assert head.uncles == ()
    assert head.withdrawals == ({"index": "0x1"},)
    assert head.requestsHash is None
    assert head.gasUsed is None
    # What is not known is kept, as it came.
    assert head.extra == {"l1BlockNumber": "0x5", "sendRoot": HASH}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"number": None}, "without the field number"),
        ({"hash": "0x12"}, "hash of a block is not a hash"),
        ({"timestamp": 5}, "timestamp of a block is not a quantity"),
        ({"extraData": "0x1"}, "extraData of a block is not data"),
        ({"transactions": "0x"}, "transactions of a block is not an array"),
        ({"transactions": [7]}, "transactions of a block is not a hash"),
        ({"logsBloom": "x" * 10_000}, "logsBloom"),
    ],
)
def test_a_malformed_field_is_named(change: dict[str, Any], error: str) -> None:
    with pytest.raises(Undecodable, match=error) as caught:
        head_of({**SENT, **change})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 1, "0x", [], [SENT]])
def test_what_is_no_block_is_refused(value: Any) -> None:
    with pytest.raises(Undecodable):
        head_of(value)


def test_heads_are_values() -> None:
    one, other = head_of(SENT), head_of(SENT)
    with pytest.raises(ValueError, match="has a cursor"):
        _ = one.cursor
    one.place(Cursor(chain_id=1, number=16, dense=(one.hash,)))
    assert one == other
    assert hash(one) == hash(other)
    assert one != head_of({**SENT, "gasUsed": "0x1"})
    assert one != HASH
    with pytest.raises(AttributeError):
        one.number = 3  # type: ignore[misc]


def test_a_head_can_be_written_as_json() -> None:
    head = head_of({**SENT, "difficulty": "0x" + "f" * 12})
    head.place(Cursor(chain_id=1, number=16, dense=(head.hash,)))
    written = {
        name: getattr(head, name)
        for name in Head.__struct_fields__
        if not name.startswith("_")
    }
    assert msgspec.json.decode(msgspec.json.encode(written))["number"] == 16
