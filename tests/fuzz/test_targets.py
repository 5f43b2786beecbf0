"""The targets of the fuzzer hold for its seeds, and for what is made of them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_passes(name: str) -> None:
    check, seeds = TARGETS[name]
    assert seeds()
    for seed in seeds():
        check(seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_a_changed_seed_passes(name: str, data: st.DataObject) -> None:
    check, seeds = TARGETS[name]
    seed = bytearray(data.draw(st.sampled_from(seeds())))
    place = data.draw(st.integers(0, len(seed) - 1))
    seed[place : place + data.draw(st.integers(0, 3))] = data.draw(
        st.binary(max_size=3)
    )
    check(bytes(seed))
