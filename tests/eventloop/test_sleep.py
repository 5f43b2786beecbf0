"""The ticker that notices a sleep of the machine, and its loop.

``tests/session/test_liveness.py`` has whole sessions whose machine slept.
"""

from __future__ import annotations

import gc
import weakref

from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.testing import VirtualLoop


async def test_a_loop_is_not_kept_alive_by_its_ticker() -> None:
    loop = VirtualLoop()
    ticker_of(loop).subscribe(print)
    ticker_of(loop).unsubscribe(print)
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
