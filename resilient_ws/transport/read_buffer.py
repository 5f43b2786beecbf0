"""The buffer into which all connections of an event loop read.

Rules: a transport asks for the buffer, fills it and passes it on in one step of the
loop, so one buffer is enough for all connections, and it stays in the processor's
cache. Its contents belong to the next connection as soon as that step ends. The rest of
a large text is read into the room where it is gathered, which saves a copy. Bytes that
are put in front of what is read are parsed with it, as if they had come together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.eventloop.per_loop import PerLoop
from resilient_ws.protocol.hot_loops import MAX_CUT
from resilient_ws.protocol.payload import TextRoom


if TYPE_CHECKING:
    import asyncio


#: The most bytes of one read.
READ_SIZE: Final = 256 * 1024

#: Where in the buffer they begin: in front of them is room for a frame that was cut. A
#: whole number of cache lines.
START: Final = MAX_CUT + -MAX_CUT % 64

#: The block that the C library is shown: the largest message by default.
_SHOWN: Final = 4 * 1024 * 1024


class ReadBuffer:
    """Memory to read into, with room in front of it.

    Attributes:
        memory: All of it; what is read ends at ``START`` and its size.
        room: Where the next bytes are to be read: from ``START`` on.
    """

    # PerLoop holds it by a weak reference.
    __slots__ = ("__weakref__", "memory", "room")

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(START + READ_SIZE))
        self.room = self.memory[START:]

    def put_in_front(self, data: bytes) -> int:
        """Copy bytes in front of those that were read; return where they begin."""
        start = START - len(data)
        self.memory[start:START] = data
        return start


def _buffer(_: asyncio.AbstractEventLoop) -> ReadBuffer:
    """Return a buffer for a loop.

    glibc returns memory to the system as soon as 128 KiB of it are free at the end of
    the heap, and has it back, page by page, for the next messages. Measured: that is a
    third of the time of a message of 1 MiB. It learns from the largest block that is
    freed, so it is shown one, which is never touched and so costs two system calls.
    After that it keeps up to twice as much, of what messages have used.
    """
    buffer = ReadBuffer()
    bytearray(_SHOWN)
    return buffer


buffer_of: Final = PerLoop(_buffer)

room_of: Final = PerLoop(lambda _: TextRoom())
