"""How much may wait to be read, and what happens beyond that."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from resilient_ws.policy._validate import one_of, positive_int


Overflow = Literal["pause", "drop_oldest", "drop_newest", "close"]

MIB: Final = 1024 * 1024


@attrs.frozen(kw_only=True)
class Inbox:
    """How much may wait to be read, and what happens beyond that.

    Attributes:
        max_messages: Messages that may wait (default 1024).
        max_bytes: Their payload bytes (default 16 MiB).
        overflow: ``"pause"`` (default) stops reading, so that TCP pushes back on the
            server and nothing is lost, but a server that expects its pings to be
            answered may end the link; ``"drop_oldest"`` and ``"drop_newest"`` read on
            and discard, which is right for feeds that must never stall; ``"close"``
            ends the connection, and the session comes back with its usual backoff.
    """

    max_messages: int = attrs.field(default=1024, validator=positive_int)
    max_bytes: int = attrs.field(default=16 * MIB, validator=positive_int)
    overflow: Overflow = attrs.field(
        default="pause",
        validator=one_of("pause", "drop_oldest", "drop_newest", "close"),
    )
