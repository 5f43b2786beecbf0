"""Limits the work of one ``receive`` call, so that no server can block the event loop.

Rules. Work is counted in *steps*. A step is a frame other than a whole plain message,
and takes one to five microseconds, or seven at worst. Cheaper work counts as part of a
step and dearer work as several. A call stops before the first frame, or piece of a
compressed one, for which it has no step left.
"""

from __future__ import annotations

from typing import Final


#: The steps of one call, which take some milliseconds. One read of a socket can hold a
#: hundred thousand frames, or inflate to 256 MiB.
MAX_STEPS: Final = 2048
#: Whole plain messages per step, and per call.
MESSAGES_PER_STEP: Final = 2
MAX_MESSAGES: Final = MESSAGES_PER_STEP * MAX_STEPS
#: Bytes that come out of zlib per step: 4 MiB per call.
INFLATED_PER_STEP: Final = 2048
#: Bytes that go into zlib per step: seven microseconds' worth at worst, if they are
#: empty blocks of a dozen bytes, each of which makes zlib build a table. Stored bytes
#: take next to none. The number is high enough for a read of 256 KiB to fit into one
#: call, because going on costs another turn of the loop. Measured: cut in two, a read
#: of messages of 16 KiB that do not shrink takes 1.4 times as long.
DEFLATED_PER_STEP: Final = 192
#: Steps per zlib stream: two bytes can end one, and each takes up to 111 KiB.
STREAM_STEPS: Final = 4
