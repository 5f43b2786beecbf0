"""JSON is indented, and no token of it changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.cli.pretty import pretty


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_is_what_json_makes_of_it(value: Any) -> None:
    made = pretty(json.dumps(value))
    if isinstance(value, list | dict):
        assert made == json.dumps(value, indent=2)
    else:
        assert made is None


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('{"price":64000.10,"n":1e400}', '{\n  "price": 64000.10,\n  "n": 1e400\n}'),
        ("[]", "[]"),
        ("[{}]", "[\n  {}\n]"),
        ("{not json", None),
        ("hello", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_numbers_stay_as_they_were_sent(text: str, made: str | None) -> None:
    assert pretty(text) == made
