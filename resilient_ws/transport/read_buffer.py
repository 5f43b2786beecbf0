"""The buffer into which all connections of an event loop read.

Rules: a transport asks for the buffer, fills it and passes it on in one step of the
loop, so one buffer is enough for all connections, and it stays in the processor's
cache. Its contents belong to the next connection as soon as that step ends. The rest of
a large text is read into the room where it is gathered, which saves a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.eventloop.per_loop import PerLoop
from resilient_ws.protocol.payload import TextRoom


if TYPE_CHECKING:
    import asyncio


#: The most bytes of one read.
READ_SIZE: Final = 256 * 1024

#: The block that the C library is shown: the largest message by default.
_SHOWN: Final = 4 * 1024 * 1024


def _buffer(_: asyncio.AbstractEventLoop) -> memoryview:
    """Return a buffer for a loop.

    glibc returns memory to the system as soon as 128 KiB of it are free at the end of
    the heap, and has it back, page by page, for the next messages. Measured: that is a
    third of the time of a message of 1 MiB. It learns from the largest block that is
    freed, so it is shown one, which is never touched and so costs two system calls.
    After that it keeps up to twice as much, of what messages have used.
    """
    buffer = memoryview(bytearray(READ_SIZE))
    bytearray(_SHOWN)
    return buffer


buffer_of: Final = PerLoop(_buffer)

room_of: Final = PerLoop(lambda _: TextRoom())
