"""The fastest masking routine there is, and the masking keys of each event loop.

Rules: all connections of a loop draw their keys from one pool, which needs no lock
because a loop runs in one thread. A forked child never hands out keys that its parent
may hand out too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from resilient_ws.eventloop.per_loop import PerLoop
from resilient_ws.protocol.frames import KeyPool, mask


if TYPE_CHECKING:
    from resilient_ws.protocol.frames import Mask


def _fastest_mask() -> Mask:
    """Return aiohttp's compiled routine, or ours if aiohttp was built without one."""
    try:
        compiled = import_module("aiohttp._websocket.mask")
        in_place: Mask = compiled._websocket_mask_cython  # noqa: SLF001 - it has no other name
    except (ImportError, AttributeError):
        return mask
    return in_place


#: Masks a payload in place with a key.
MASK: Final = _fastest_mask()

keys_of: Final = PerLoop(lambda _: KeyPool(), after_fork=KeyPool.forget)
