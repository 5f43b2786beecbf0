"""The subscriptions of ``AsyncWeb3``: each brings its items to web3's queues.

Rules: each subscription is a task, which waits where web3 has no room, and holds up
nothing else. web3 knows a subscription by a name of ours, which stays while the
server's changes underneath.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.adapters.web3_streams import NodeStream, as_announced
from resilient_ws.feeds import Gap


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from resilient_ws.feeds import Subscription
    from resilient_ws.feeds.jsonrpc import Client

logger = logging.getLogger("resilient_ws")

#: Seconds that items of a new subscription are held until web3 has taken note of it,
#: and between two looks.
KNOWN_WITHIN: Final = 5.0
LOOK_EVERY: Final = 0.01
#: Seconds in which it shows whether a stream failed because the session has ended.
ENDED_WITHIN: Final = 1.0


class Web3Subscriptions:
    """The subscriptions of one provider.

    Args:
        processor: web3's own, which keeps the queues, and what it knows of each
            subscription.
        spawn: Starts a task that the provider owns.
        listener: Returns the task that ends with the session, once there is one.
        on_gap: Called with the id of a subscription and each ``Gap`` in it; ``None``
            for nobody.
        heads: Makes the stream for each subscription to ``newHeads``; ``None`` for the
            provider's own.
    """

    def __init__(
        self,
        processor: Any,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        *,
        listener: Callable[[], asyncio.Task[None] | None],
        on_gap: Callable[[str, Gap], object] | None,
        heads: Callable[[Client], AsyncIterator[Any]] | None,
    ) -> None:
        self._processor = processor
        self._spawn = spawn
        self._listener = listener
        self._on_gap = on_gap
        self._heads = heads
        # By the ids that web3 has, each stream with the task that reads it.
        self._following: dict[str, tuple[Any, asyncio.Task[None]]] = {}

    def __contains__(self, name: object) -> bool:
        """Whether web3 was given an id."""
        return name in self._following

    def clear(self) -> None:
        """Forget all of them: the provider has ended their tasks."""
        self._following.clear()

    async def add(self, client: Client, params: Sequence[Any], timeout: float) -> str:
        """Subscribe, and return the id that web3 gets.

        Args:
            client: The client, entered.
            params: Those of ``eth_subscribe``.
            timeout: Seconds for a call.

        Raises:
            ResilientWSError: There is no subscription; this says why.

        Cancellation:
            There is no subscription.
        """
        stream: Any
        if self._heads is not None and params[0] == "newHeads":
            stream = self._heads(client)
            items = as_announced(stream)
        else:
            stream = items = await _subscribed(client, params, timeout)
        name = "0x" + secrets.token_hex(16)
        task = self._spawn(self._follow(name, items))
        self._following[name] = stream, task
        return name

    async def remove(self, name: str) -> None:
        """End a subscription, and tell the node.

        Cancellation:
            It has ended; the node may not have been told.
        """
        stream, task = self._following.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()

    async def _follow(self, name: str, items: AsyncIterator[Any]) -> None:
        """Bring the items of a subscription to web3."""
        await self._known(name)
        try:
            async for item in items:
                if isinstance(item, Gap):
                    self._tell(name, item)
                    continue
                params = {"subscription": name, "result": item}
                await self._put(
                    name,
                    {"jsonrpc": "2.0", "method": "eth_subscription", "params": params},
                )
        except Exception as failure:  # noqa: BLE001 - it is raised where items are read
            await self._fail(name, failure)

    async def _fail(self, name: str, failure: Exception) -> None:
        """Have those who read a subscription raise what ended it."""
        listener = self._listener()
        if listener is not None:
            await asyncio.wait([listener], timeout=ENDED_WITHIN)
            # At the end of the session it is the listener that tells them.
            if not listener.done():
                await self._put(name, failure)

    async def _known(self, name: str) -> None:
        """Wait until web3 has taken note of a subscription that it was granted."""
        loop = asyncio.get_running_loop()
        until = loop.time() + KNOWN_WITHIN
        while loop.time() < until:
            container = self._processor._subscription_container
            if container is None or container.get_by_id(name) is not None:
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _put(self, name: str, what: object) -> None:
        """Wait for room where web3 looks for the items of a subscription."""
        processor = self._processor
        container = processor._subscription_container
        handled = container and container.get_handler_subscription_by_id(name)
        queue = (
            processor._handler_subscription_queue
            if handled
            else processor._subscription_response_queue
        )
        await queue.put(what)

    def _tell(self, name: str, gap: Gap) -> None:
        logger.warning(
            "The subscription %s of web3 has a gap (%s); on_gap= is told its bounds.",
            name,
            type(gap.because).__name__,
        )
        try:
            if self._on_gap is not None:
                self._on_gap(name, gap)
        except Exception:
            logger.exception("The function on_gap= of ResilientProvider failed.")


async def _subscribed(
    client: Client, params: Sequence[Any], timeout: float
) -> Subscription[Any]:
    how = NodeStream(client, params, timeout)
    after = await how.begin()
    return await client.subscribe(
        "eth_subscribe",
        params,
        unsubscribe="eth_unsubscribe",
        after=after,
        **how.source(),
    )
