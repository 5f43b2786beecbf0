from __future__ import annotations

from hypothesis import given, strategies as st

from resilient_ws.feeds.evm.log_types import Log, log_of
from resilient_ws.feeds.evm.retained import RetainedLogs
from resilient_ws.feeds.evm.types import BlockRef
from tests.feeds.evm.fake_node import FakeNode


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 30), st.data()
)
def test_what_is_undone_is_the_exact_reverse_of_what_was_told(
    counts: list[int], most: int, data: st.DataObject
) -> None:
    node, retained = FakeNode(counts), RetainedLogs(most)
    told: list[tuple[BlockRef, list[Log]]] = []
    for number in range(len(counts)):
        block = BlockRef(number=number, hash=node.hash(number))
        found = [log_of(log) for log in node.logs(number)]
        retained.keep(block, found)
        told.append((block, found))
    assert len(retained) == min(most, len(counts))
    depth = data.draw(st.integers(1, min(most, len(counts))))
    removed = [block for block, _ in reversed(told[-depth:])]
    undone = retained.to_undo(removed)
    assert list(undone) == [log for _, logs in told[-depth:] for log in logs][::-1]
    # A reorganisation that nobody took yet is told again, with its logs.
    assert retained.to_undo(removed) == undone
    retained.forget(removed)
    assert retained.to_undo(removed) == ()
