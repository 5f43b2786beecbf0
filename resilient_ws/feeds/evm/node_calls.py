"""Calls of one node: within its limits, and not before it wants to be asked again.

Rules: "too many requests" is waited out by all calls together, and never narrows a
range. Several requests that belong together go out one behind the other; if one of them
has to be repeated, all are, so that one node answers them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds.errors import CallLost, CallTimeout, RPCError
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.stride import Stride
from resilient_ws.feeds.pace import Pace


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resilient_ws.feeds.evm.limits import Limits


class NodeCalls:
    """Calls one node.

    Args:
        call: Calls a method with its parameters, once.
        limits: How many calls at once, how many a second, and how many attempts.
        pinned: Whether a call that its connection did not survive fails at once, for
            the answer of another connection would be of no use. Otherwise it goes out
            again.
        pace: Whose turn it is to call; ``None`` (default) for one of its own.
    """

    def __init__(
        self,
        call: Callable[[str, Sequence[Any]], Awaitable[Any]],
        limits: Limits,
        *,
        pinned: bool = True,
        pace: Pace | None = None,
    ) -> None:
        self._call = call
        self._limits = limits
        self._pinned = pinned
        self._places = asyncio.Semaphore(limits.window)
        self._pace = Pace(limits.rate) if pace is None else pace
        #: How many blocks this node gives at once: learned once, for all who ask it.
        self.stride: Final = Stride(limits)
        self._busy = 0
        self._quiet_until = 0.0

    async def ask(self, method: str, *params: Any) -> Any:
        """Call a method, and return its result.

        Raises:
            CallLost: The connection ended.
            CallTimeout: The node did not answer in time.
            RPCError: The node refused.

        Cancellation:
            The answer is no longer expected.
        """
        (result,) = await self.ask_together((method, params))
        return result

    async def ask_together(self, *requests: tuple[str, Sequence[Any]]) -> list[Any]:
        """Call several methods, one behind the other; return their results.

        Raises:
            CallLost: The connection ended.
            CallTimeout: The node did not answer one of them in time.
            RPCError: The node refused one of them.

        Cancellation:
            The answers are no longer expected.
        """
        failures = 0
        while True:
            async with self._places:
                await self._quiet()
                try:
                    results = await self._sent(requests)
                except (CallLost, CallTimeout, RPCError) as failure:
                    failures += self._counts(failure)
                    if failures >= self._limits.attempts:
                        raise
                else:
                    self._busy = 0
                    return results

    async def _sent(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if len(requests) == 1:
            return [await self._one(*requests[0])]
        calls = [asyncio.create_task(self._one(*request)) for request in requests]
        try:
            return list(await asyncio.gather(*calls))
        finally:
            for call in calls:
                call.cancel()

    async def _one(self, method: str, params: Sequence[Any]) -> Any:
        await self._pace.turn()
        return await self._call(method, params)

    def _counts(self, failure: CallLost | CallTimeout | RPCError) -> bool:
        """Return whether a failure that may be repeated counts as an attempt.

        Raises:
            CallLost, CallTimeout, RPCError: It may not be repeated here.
        """
        if isinstance(failure, CallTimeout | CallLost):
            # Without a connection nothing was sent; the session is looking for one.
            unsent = isinstance(failure, CallTimeout) and not failure.maybe_executed
            if self._pinned or (isinstance(failure, CallTimeout) and not unsent):
                raise failure
            return False
        said = understood(failure)
        if said.refusal is not Refusal.BUSY:
            raise failure
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:  # of several at once, the first
            self._busy += 1
            self._quiet_until = now + self._limits.backoff(self._busy, said.after)
        return True

    async def _quiet(self) -> None:
        """Wait as long as the node wants to be left alone."""
        loop = asyncio.get_running_loop()
        while (left := self._quiet_until - loop.time()) > 0:  # noqa: ASYNC110 - a time
            await asyncio.sleep(left)


def header(number: int) -> list[Any]:
    """Return the parameters of ``eth_getBlockByNumber`` for a header."""
    return [hex(number), False]
