"""A node that does not give out what it must have.

Another connection may lead to a back end that does. After several in a row it is done
without what is missing, and the operator is told each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.errors import CallTimeout, RPCError, Undecodable
from resilient_ws.feeds.evm.steps import NewConnection, Remark


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.steps import BlockFound, Steps


#: Connections that may lag, one after the other, before what they do not have is given
#: up.
MAX_LAGGING: Final = 2


class Lagging:
    """Counts the connections in a row that lagged."""

    def __init__(self) -> None:
        self._connections = 0

    def over(self) -> None:
        """Begin to count anew: the node gave out what it must have."""
        self._connections = 0

    def tell(self, what: str, missing: BlockFound) -> Steps[bool]:
        """Say what the node does not have, and try another connection.

        Args:
            what: What is missing, for the log.
            missing: What came in its place.

        Returns:
            Whether enough connections were tried, so that it must be done without; the
            node may be asked again later.
        """
        self._connections += 1
        another = self._connections <= MAX_LAGGING
        then = "Another connection is tried" if another else "No other had it either"
        why = _why_missing(missing)
        text = f"the node does not give out {what}, which it must have: {why}. {then}"
        yield Remark("lagging", text)
        if another:
            yield NewConnection("lagging")
        return not another


def _why_missing(found: BlockFound) -> str:
    """Return what came in place of a block, without what the node said."""
    failure = found.failure
    if found.head is not None:
        return "a block of another height"
    if isinstance(failure, RPCError):
        return f"error {failure.code}"
    if isinstance(failure, CallTimeout):
        return "no answer in time"
    if isinstance(failure, Undecodable):
        return "the answer was no such block"
    return "null" if failure is None else type(failure).__name__
