"""A hole in the received stream."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Interruption:
    """A hole in the received stream, at its place in the order.

    Attributes:
        cause: The failure that ended the connection before; ``None`` if the inbox's
            ``overflow`` discarded messages, or if the connection was replaced on
            request.
        since: When the hole began, in Unix seconds.
        until: When it ended, in Unix seconds.
        epoch: The epoch that the next message belongs to.
        drops: Connections lost, or replaced, in the hole.
        discarded: Messages that were received and discarded.
    """

    cause: Exception | None
    since: float
    until: float
    epoch: int
    drops: int = 0
    discarded: int = 0

    def merged(self, later: Interruption) -> Interruption:
        """Return the hole that begins with this one and ends with ``later``."""
        return Interruption(
            cause=later.cause or self.cause,
            # ``later`` comes after this hole in the stream, but may have begun earlier:
            # the inbox can discard messages behind a hole before the hole is read.
            since=min(self.since, later.since),
            until=max(self.until, later.until),
            epoch=later.epoch,
            drops=self.drops + later.drops,
            discarded=self.discarded + later.discarded,
        )
