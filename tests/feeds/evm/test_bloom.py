from __future__ import annotations

import sys

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds.evm import bloom
from resilient_ws.feeds.evm.bloom import BloomTest, bits_of, bloom_of, number_of
from resilient_ws.feeds.evm.log_filter import LogFilter


#: keccak-256 of "Transfer(address,address,uint256)".
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

ADDRESS = st.integers(0, 2**160 - 1).map(lambda n: f"0x{n:040x}")
TOPIC = st.integers(0, 2**256 - 1).map(lambda n: f"0x{n:064x}")
LOG = st.tuples(ADDRESS, st.lists(TOPIC, max_size=4))


def text(number: int) -> str:
    return f"0x{number:0512x}"


@given(st.lists(LOG, min_size=1, max_size=8), st.data())
def test_what_is_in_a_block_is_never_ruled_out(
    logs: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    header = text(bloom_of(v for address, topics in logs for v in (address, *topics)))
    address, topics = data.draw(st.sampled_from(logs))
    others = data.draw(st.lists(TOPIC, max_size=2))
    wanted = LogFilter(
        address=data.draw(
            st.sampled_from([None, address, [address, "0x" + "11" * 20]])
        ),
        topics=[
            data.draw(st.sampled_from([None, topic, [*others, topic]]))
            for topic in topics
        ],
    )
    assert wanted.matches(address, topics)
    assert BloomTest(wanted).allows(header)


@given(st.lists(LOG, min_size=1, max_size=4), ADDRESS, TOPIC)
def test_what_a_bloom_does_not_hold_is_ruled_out(
    logs: list[tuple[str, list[str]]], address: str, topic: str
) -> None:
    bits = bloom_of(v for emitter, topics in logs for v in (emitter, *topics))
    for value, wanted in (
        (address, LogFilter(address=address)),
        (topic, LogFilter(topics=[None, topic])),
    ):
        expected = bits & bits_of(value) == bits_of(value)
        assert BloomTest(wanted).allows(text(bits)) == expected


@pytest.mark.parametrize(
    "header", [None, "", "0x", text(0), "0x" + "zz" * 256, text(1) + "0", "1" * 514]
)
def test_a_bloom_that_says_nothing_allows_nothing(header: str | None) -> None:
    assert number_of(header) == 0
    assert not BloomTest(LogFilter()).allows(header)


def test_a_filter_that_takes_all_fits_a_bloom_with_anything_in_it() -> None:
    assert BloomTest(LogFilter()).allows(text(1 << 2047))


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bloom._hasher.cache_clear()
    monkeypatch.setitem(sys.modules, "Crypto.Hash", None)
    with pytest.raises(ImportError, match=r"resilient-ws\[evm\].*verify=\"hash\""):
        BloomTest(LogFilter(topics=[TRANSFER]))
    bloom._hasher.cache_clear()
