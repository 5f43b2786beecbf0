"""How much a node is asked for at once, and how long one waits for it."""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.policy._validate import (
    not_negative,
    positive_int,
    rate_or_none,
    seconds,
    seconds_or_none,
)


@attrs.frozen(kw_only=True)
class Limits:
    """How much of a node's history is asked for at once.

    The defaults suit a hosted node. Ranges begin small, grow while the node gives them,
    and shrink where the node refuses one, so a wrong limit costs a few calls only.

    Attributes:
        max_range: Blocks in one ``eth_getLogs``, at most (default 2,000).
        max_results: Logs that one answer should hold (default 2,000). The range is
            chosen so that it does, from how many there were lately. It is also how many
            logs are fetched ahead of the consumer. A log is 600 to 900 bytes on the
            wire, and an answer must fit into the session's ``max_message_size``.
        window: Calls in flight at once (default 16).
        rate: Calls a second, at most; ``None`` (default) for no limit.
        first_backoff: Seconds after the first answer that says "too many requests",
            where that names no time (default 1.0); twice as long after each that
            follows.
        max_backoff: The most seconds of such a wait, also where the node asks for more
            (default 60.0).
        attempts: How often a call is tried that the node fails to answer, before what
            it was for is a ``Gap`` (default 8).

    Raises:
        TypeError: A value of another type.
        ValueError: A number is out of range.
    """

    max_range: int = attrs.field(default=2_000, validator=positive_int)
    max_results: int = attrs.field(default=2_000, validator=positive_int)
    window: int = attrs.field(default=16, validator=positive_int)
    rate: float | None = attrs.field(
        default=None, converter=seconds_or_none, validator=rate_or_none
    )
    first_backoff: float = attrs.field(
        default=1.0, converter=seconds, validator=not_negative
    )
    max_backoff: float = attrs.field(
        default=60.0, converter=seconds, validator=not_negative
    )
    attempts: int = attrs.field(default=8, validator=positive_int)

    def backoff(self, failures: int, asked: float | None = None) -> float:
        """Return the seconds to wait after a number of failures in a row.

        Args:
            failures: How many, from 1.
            asked: The seconds that the node asked for.
        """
        if asked is None:
            # Beyond this many doublings, it is the longest wait anyway.
            asked = self.first_backoff * 2.0 ** min(failures - 1, 32)
        return min(asked, self.max_backoff)


#: Those of a hosted node.
DEFAULT_LIMITS: Final = Limits()
