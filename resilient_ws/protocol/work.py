"""What one call of ``receive`` may do: counted, so that no server can hold a loop.

Rules. The unit is the *step*, a frame other than a whole plain message: one to five
microseconds. What costs less or more is counted as a part of a step or as several, by
what it costs at worst. A call stops at the first frame, or piece of a compressed one,
after its last step.
"""

from __future__ import annotations

from typing import Final


#: The steps of one call: some milliseconds. One read of a socket can hold a hundred
#: thousand frames, and inflate to 256 MiB.
MAX_STEPS: Final = 2048
#: Whole plain messages to a step, and those of a call.
MESSAGES_PER_STEP: Final = 2
MAX_MESSAGES: Final = MESSAGES_PER_STEP * MAX_STEPS
#: Bytes that come out of zlib to a step: 4 MiB a call.
INFLATED_PER_STEP: Final = 2048
#: Bytes that go into it to a step: an empty block of a dozen bytes costs a table.
DEFLATED_PER_STEP: Final = 64
#: Steps for a state of zlib's: two bytes can end one, and each has up to 111 KiB.
STREAM_STEPS: Final = 4
