"""Lines of a recording: each entry comes back as it was; damaged ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.recording import Entry
from resilient_ws.recording.entries import entry_of, line_of


ENTRIES = st.one_of(
    st.builds(
        Entry,
        at=st.integers(0, 10**9).map(lambda n: n / 1000),
        kind=st.just("text"),
        epoch=st.integers(0, 5),
        sent=st.booleans(),
        data=st.text(),
    ),
    st.builds(
        Entry,
        at=st.just(1.5),
        kind=st.sampled_from(["binary", "ping", "pong"]),
        epoch=st.integers(1, 5),
        data=st.binary(),
    ),
    st.builds(
        Entry,
        at=st.just(0.0),
        kind=st.just("close"),
        data=st.text(max_size=20),
        code=st.integers(1000, 4999),
        detail=st.text(max_size=5),
    ),
)


@given(ENTRIES)
def test_an_entry_comes_back(entry: Entry) -> None:
    line = line_of(entry)
    assert "\n" not in line
    assert entry_of(line) == entry


def test_sizes_only() -> None:
    entry = Entry(at=1, kind="text", epoch=1, data="secret")
    line = line_of(entry, sizes_only=True)
    assert "secret" not in line
    assert entry_of(line).data == "******"


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "x",
        "[" * 100_000,
        '{"kind":"surprise"}',
        '{"kind":"text","at":"now"}',
        '{"kind":"text","data":1}',
        '{"kind":"text","epoch":true}',
        '{"kind":"binary","base64":"*"}',
        '{"kind":"text","size":99999999999}',
        '{"kind":"close","code":"1000"}',
    ],
)
def test_a_damaged_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reader says which line
        entry_of(line)
