"""The buffer into which all connections of an event loop read.

Rules: a transport asks for the buffer, fills it and passes it on in one step of the
loop, so one buffer is enough for all connections, and it stays in the processor's
cache. Its contents belong to the next connection as soon as that step ends.
"""

from __future__ import annotations

from typing import Final

from resilient_ws.eventloop.per_loop import PerLoop


#: The most bytes of one read.
READ_SIZE: Final = 256 * 1024

buffer_of: Final = PerLoop(lambda _: memoryview(bytearray(READ_SIZE)))
