"""What the sessions of a loop share is one, is freed with it, and ends at a fork."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref

import pytest

from resilient_ws.eventloop.per_loop import PerLoop
from tests.eventloop.fork import in_a_child


class Shared:
    """A value that holds its loop, as most do."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.forked = False

    def fork(self) -> None:
        self.forked = True


async def test_each_loop_has_one_value_for_as_long_as_it_is_used() -> None:
    shared_by = PerLoop(Shared)
    loop, other = asyncio.get_running_loop(), asyncio.new_event_loop()
    ours, theirs = shared_by(loop), shared_by(other)
    assert (ours.loop, theirs.loop) == (loop, other)
    assert shared_by(loop) is ours
    assert shared_by(other) is theirs
    first = weakref.ref(ours)
    del ours
    assert first() is None
    assert shared_by(loop).loop is loop
    other.close()


def test_two_tables_do_not_know_each_other() -> None:
    loop = asyncio.new_event_loop()
    one, other = PerLoop(Shared), PerLoop(Shared)
    value = one(loop)
    assert other(loop) is not value
    loop.close()


def test_neither_a_loop_nor_its_value_is_kept_alive() -> None:
    """Even if the value is used only by what the closed loop holds."""
    shared_by = PerLoop(Shared)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        # Like a timer that nobody cancelled.
        loop.call_later(1000, shared_by(loop).fork)

    with asyncio.Runner() as runner:
        runner.run(main())
        loop = weakref.ref(runner.get_loop())
        value = weakref.ref(shared_by(runner.get_loop()))
        assert value() is not None
    gc.collect()
    assert loop() is None
    assert value() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_told_and_starts_anew() -> None:
    shared_by = PerLoop(Shared, after_fork=Shared.fork)
    silent = PerLoop(Shared)
    loop = asyncio.new_event_loop()
    value, untold = shared_by(loop), silent(loop)

    def in_child() -> bytes:  # pragma: no cover - in another process
        fresh = shared_by(loop)
        facts = (
            value.forked,
            fresh is not value,
            fresh.forked,
            silent(loop) is not untold,
        )
        return repr(facts).encode()

    assert in_a_child(in_child) == repr((True, True, False, True)).encode()
    assert not value.forked
    assert shared_by(loop) is value
    loop.close()
