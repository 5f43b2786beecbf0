"""When a library may dial again: one outage for each endpoint, over all its calls.

A library that keeps no count of its own dials in a hot loop as soon as a server takes
its handshake and hangs up. Here each dial waits for its turn.

Rules: the count of failures of an endpoint grows with each dial that fails and each
connection that ends by itself, and starts again when one has become stable. Until then
only one dial to it is under way. What began before the newest failure is not counted: a
hundred connections that a server drops together are one failure. A connection that the
library closes itself is no failure, but the next dial to the same endpoint comes 0.2 s
after it began.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from tenacity import AsyncRetrying, RetryCallState

from resilient_ws import FullJitter, HandshakeRejected, Reconnect
from resilient_ws.policy.failures import retry_after


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity.wait import WaitBaseT

#: Two dials to an endpoint in trouble never start closer together, in seconds.
SPACING: Final = 0.2
#: How long a waiting dial sleeps before it looks again, in seconds.
_LOOK_AGAIN: Final = 1.0
#: Beyond this many endpoints, those that are not in trouble are forgotten.
_MAX_REMEMBERED: Final = 1_000


class Outages:
    """The outages of all endpoints that share a policy.

    Args:
        reconnect: Its ``wait``, ``stable_after`` and ``retry_after_cap`` count.
    """

    def __init__(self, reconnect: Reconnect) -> None:
        self._reconnect = reconnect
        self._known: dict[str, EndpointOutage] = {}

    def of(self, url: str) -> EndpointOutage:
        """Return the outage of a URL's endpoint: its query makes no difference."""
        endpoint = url.partition("?")[0]
        outage = self._known.get(endpoint)
        if outage is None:
            self._forget()
            outage = self._known[endpoint] = EndpointOutage(self._reconnect)
        return outage

    def _forget(self) -> None:
        if len(self._known) < _MAX_REMEMBERED:
            return
        troubled = {url: one for url, one in self._known.items() if one.failures}
        newest = list(troubled.items())[-_MAX_REMEMBERED // 2 :]
        self._known = dict(newest)


class EndpointOutage:
    """How often one endpoint has failed in a row, and when it may be dialled next."""

    def __init__(self, reconnect: Reconnect) -> None:
        self.failures = 0
        self._wait: WaitBaseT = reconnect.wait or FullJitter(rng=reconnect.rng)
        self._retry_after_cap = reconnect.retry_after_cap
        self._not_before = -math.inf
        self._failed_at = -math.inf

    async def dial(self, enter: Callable[[], Awaitable[object]]) -> None:
        """Wait for the turn of this dial, and make it.

        Raises:
            Exception: What ``enter`` raised, which is counted.

        Cancellation:
            Safe; the next dial comes no sooner than otherwise.
        """
        began = await self._turn()
        if not self.failures:
            await self._counted(enter, began)
            return
        # One at a time, until the endpoint is known to be well.
        self._not_before = math.inf
        try:
            await self._counted(enter, began)
        finally:
            if self._not_before == math.inf:
                self._not_before = began + SPACING

    async def _turn(self) -> float:
        """Wait until a dial may start; return when that is."""
        loop = asyncio.get_running_loop()
        # Not an Event: it would belong to a loop, and hold it.
        while (left := self._not_before - (now := loop.time())) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_AGAIN))
        return now

    async def _counted(
        self, enter: Callable[[], Awaitable[object]], began: float
    ) -> None:
        try:
            await enter()
        except Exception as failure:
            self.failed(failure, began)
            raise

    def failed(self, because: Exception | None, began: float) -> None:
        """Count a dial that failed, or a connection that ended by itself.

        Args:
            because: Why.
            began: When the dial or the connection began, by the loop's clock.
        """
        if began < self._failed_at:
            return
        now = self._failed_at = asyncio.get_running_loop().time()
        self.failures += 1
        state = RetryCallState(AsyncRetrying(), None, (), {})
        state.attempt_number = self.failures
        if because is not None:
            # Some waits look at it.
            state.set_exception((type(because), because, because.__traceback__))
        delay = float(self._wait(state))
        if isinstance(because, HandshakeRejected):
            asked = retry_after(because.headers, time.time())
            delay += min(asked, self._retry_after_cap)
        self._not_before = now + delay

    def left(self, began: float) -> None:
        """Note that the library closed a young connection itself."""
        if self._not_before != math.inf:
            self._not_before = max(self._not_before, began + SPACING)

    def recovered(self) -> None:
        """Start counting again: a connection has become stable."""
        self.failures = 0
        self._not_before = -math.inf
