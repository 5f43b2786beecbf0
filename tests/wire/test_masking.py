"""The connections of a loop draw their masking keys from one pool."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
import weakref
from typing import TYPE_CHECKING

import pytest

from resilient_ws.transport.masking import keys_of


if TYPE_CHECKING:
    from resilient_ws.protocol.frames import KeyPool


async def pool() -> KeyPool:
    return keys_of(asyncio.get_running_loop())


async def test_each_loop_has_one_pool() -> None:
    assert await pool() is await pool()
    assert await asyncio.to_thread(asyncio.run, pool()) is not await pool()


def test_a_pool_keeps_no_loop_alive() -> None:
    loop = asyncio.new_event_loop()
    drawn = keys_of(loop)
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert drawn.take()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_child_has_keys_of_its_own() -> None:
    keys = await pool()
    keys.take()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer versions of Python warn of forks where there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        os.write(writing, b"".join(keys.take() for _ in range(100)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = await asyncio.to_thread(pipe.read)
    await asyncio.to_thread(os.waitpid, child, 0)
    ours = b"".join(keys.take() for _ in range(100))
    assert len(theirs) == len(ours) == 400
    assert theirs != ours
