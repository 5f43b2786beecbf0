"""The buffer that every connection of a loop is read into.

Rules: a transport asks for the buffer, fills it and says so without letting anything
else run, so one is enough for all the connections of a loop, and stays in the
processor's cache. What is in it is another's as soon as that call returns.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    import asyncio


#: The most bytes of one read.
READ_SIZE: Final = 256 * 1024

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = (
    weakref.WeakKeyDictionary()
)


def buffer_of(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return the one buffer of this loop."""
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = memoryview(bytearray(READ_SIZE))
    return buffer
