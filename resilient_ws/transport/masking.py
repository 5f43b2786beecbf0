"""Masking: the quickest routine there is, and the keys of all connections of a loop.

Rules: the routine is aiohttp's compiled one, where it was built with one. A loop is of
one thread, so its connections draw keys from one pool; a forked child hands out none
that its parent may hand out too.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from resilient_ws.protocol.frames import KeyPool, mask


if TYPE_CHECKING:
    import asyncio

    from resilient_ws.protocol.frames import Mask


def _found() -> Mask:
    """Return aiohttp's way, or ours where aiohttp's is Python as well."""
    try:
        compiled = import_module("aiohttp._websocket.mask")
        in_place: Mask = compiled._websocket_mask_cython  # noqa: SLF001 - it has no other name
    except (ImportError, AttributeError):
        return mask
    return in_place


#: Masks a payload in place with a key.
MASK: Final = _found()

_pools: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, KeyPool]] = (
    WeakKeyDictionary()
)


def keys_of(loop: asyncio.AbstractEventLoop) -> KeyPool:
    """Return where the connections of a loop have their masking keys from."""
    if loop not in _pools:
        _pools[loop] = KeyPool()
    return _pools[loop]


def _forget() -> None:
    for pool in _pools.values():
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
