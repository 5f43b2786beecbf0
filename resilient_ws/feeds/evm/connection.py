"""A connection to a node, as the tracker needs it: blocks asked for, and found or not.

Rules: a request goes out on this connection or not at all. Nothing here raises what a
node sends: a malformed block is one that was not found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from resilient_ws import ResilientWSError
from resilient_ws.feeds.errors import (
    BackfillFailed,
    CallLost,
    FeedError,
    RPCError,
    SubscribeRefused,
    Undecodable,
    WrongChain,
)
from resilient_ws.feeds.evm.asking import is_pruned
from resilient_ws.feeds.evm.hexadecimal import quantity
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.steps import BlockFound, BlockQuery
from resilient_ws.feeds.evm.types import head_of


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.limits import Limits
    from resilient_ws.feeds.jsonrpc import Client
    from resilient_ws.feeds.pace import Pace
    from resilient_ws.feeds.requests import Requests


#: Calls a method of a node, with its parameters.
NodeCall: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[Any]]

#: Seconds before a request is repeated whose answer was lost.
LOST_PAUSE: Final = 0.1


class NodeConnection:
    """One connection to a node.

    Args:
        client: The client.
        requests: Those of the connection.
        history: Calls another node, which has the finalized blocks that this one has
            deleted.
        limits: How long to wait where the node has too much to do.
        pace: Whose turn it is to ask.
    """

    def __init__(
        self,
        client: Client,
        requests: Requests,
        history: NodeCall | None = None,
        *,
        limits: Limits,
        pace: Pace,
    ) -> None:
        self._client = client
        self.requests: Final = requests
        self._history = history
        self._limits = limits
        self._pace = pace
        self._clock = asyncio.get_running_loop().time
        # The height of the newest final block, as far as it was asked for.
        self._final = -1

    async def chain_id(self, expected: int | None) -> int:
        """Return the chain that the node is of.

        Raises:
            ConnectionError: The node did not say, but may do so later.
            SubscribeRefused: What it says makes no sense.
            WrongChain: It is not the one that is expected.
        """
        try:
            found = quantity(await self._call("eth_chainId", []))
        except RPCError as failure:
            raise ConnectionError("The node does not tell its chain.") from failure
        except ValueError as failure:
            raise SubscribeRefused(f"The chain id of the node is {failure}.") from None
        if expected is not None and found != expected:
            text = f"The node is of chain {found}, and the stream of chain {expected}."
            raise WrongChain(text)
        return found

    async def find(self, query: BlockQuery) -> BlockFound:
        """Return what comes of a request for a block.

        Cancellation:
            The answer is no longer expected.
        """
        found = await self._find(self._call_again, query)
        if self._history is None or found.head is not None or query.by != "number":
            return found
        if await self._is_final(query) or is_pruned(found):
            older = await self._find(self._history, query)
            return found if older.head is None else older
        return found

    async def _find(self, call: NodeCall, query: BlockQuery) -> BlockFound:
        try:
            sent = await call(*_request(query))
            head = None if sent is None else head_of(sent)
            return BlockFound(head, None, self._clock())
        except Undecodable as failure:
            if call is not self._history:
                self._client.channel.complain("something else in place of a block")
            return BlockFound(None, failure, self._clock())
        except FeedError as failure:
            return BlockFound(None, failure, self._clock())
        except (ResilientWSError, OSError) as failure:
            error = BackfillFailed("The request could not be sent.")
            error.__cause__ = failure.with_traceback(None)
            return BlockFound(None, error, self._clock())

    async def _is_final(self, query: BlockQuery) -> bool:
        assert isinstance(query.what, int)  # noqa: S101 - for the type checker
        if query.what > self._final:
            newest = await self._find(self._call_again, BlockQuery("tag", "finalized"))
            if newest.head is not None:
                self._final = newest.head.number
        return query.what <= self._final

    async def subscribe(self) -> Any | None:
        """Subscribe to announcements; return the key, ``None`` if there are none."""
        try:
            return await self._call("eth_subscribe", ["newHeads"])
        except RPCError:
            return None  # whatever the reason, the newest block can be asked for

    async def _call(self, method: str, params: Sequence[Any]) -> Any:
        """Call a method; wait and repeat it while the node has too much to do."""
        failures = 0
        while True:
            await self._pace.turn()
            try:
                return await self._client.call_on(self.requests, method, params)
            except RPCError as failure:
                failures += 1
                said = understood(failure)
                if (
                    said.refusal is not Refusal.BUSY
                    or failures >= self._limits.attempts
                ):
                    raise
            await asyncio.sleep(self._limits.backoff(failures, said.after))

    async def _call_again(self, method: str, params: Sequence[Any]) -> Any:
        """Call a method, and again if the answer was lost.

        If the connection has ended, the task that waits for the answer is about to be
        cancelled, and must not take the block for missing before. If a full inbox has
        lost the answer, the connection stands, and can be asked again.
        """
        while True:
            try:
                return await self._call(method, params)
            except CallLost:
                await asyncio.sleep(LOST_PAUSE)


def _request(query: BlockQuery) -> tuple[str, list[Any]]:
    what = query.what
    if query.by == "hash":
        return "eth_getBlockByHash", [what, False]
    return "eth_getBlockByNumber", [hex(what) if isinstance(what, int) else what, False]
