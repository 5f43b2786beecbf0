"""How the items of a subscription to a node follow, and how what was missed is fetched.

For the adapter of web3.py, whose users expect what a node announces, and no more: heads
and logs as they came, with those of a drop in their places.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds import BackfillFailed, Continuity, Gap


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from resilient_ws.feeds.jsonrpc import Client


#: Seconds for which a block is asked for again that a node announced and does not have
#: yet: the first pause, which is doubled each time, and the last.
LAG_PAUSE: Final = 0.1
MAX_LAG_PAUSE: Final = 1.6
#: Blocks that are asked for at once.
WINDOW: Final = 16
#: What a block has, and no announcement of its header.
_BODY: Final = ("transactions", "uncles", "withdrawals", "size", "totalDifficulty")
#: Behind all logs of a block.
_END: Final = float("inf")


class NodeStream:
    """How the items of one subscription follow, and how a hole is fetched.

    Args:
        client: Fetches.
        params: Those of ``eth_subscribe``.
        timeout: Seconds for a call.
    """

    def __init__(self, client: Client, params: Sequence[Any], timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._kind = params[0]
        self._filter: dict[str, Any] = (params[1] if len(params) > 1 else None) or {}

    async def begin(self) -> Any:
        """Return the position at which the stream begins, if it has positions."""
        if self._kind == "newHeads":
            return await self._newest()
        if self._kind == "logs":
            return await self._newest(), _END
        return None

    def source(self) -> dict[str, Any]:
        """Return the arguments for ``Client.subscribe``."""
        if self._kind == "newHeads":
            return {
                "cursor_of": _number,
                "follows": _follows,
                "identity": _hash,
                "backfill": self._heads,
            }
        if self._kind == "logs":
            return {
                "cursor_of": _place,
                "identity": _log_identity,
                "backfill": self._logs,
            }
        return {}

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._client.call(
            method, params, timeout=self._timeout, repeat=True
        )

    async def _newest(self) -> int:
        return int(await self._call("eth_blockNumber"), 16)

    async def _heads(self, after: int, until: int | None) -> AsyncIterator[Any]:
        last = await self._newest() if until is None else until
        for first in range(after + 1, last + 1, WINDOW):
            numbers = range(first, min(first + WINDOW, last + 1))
            for head in await asyncio.gather(*map(self._head, numbers)):
                yield head

    async def _head(self, number: int) -> dict[str, Any]:
        pause = LAG_PAUSE
        bodies = False
        while True:
            block = await self._call("eth_getBlockByNumber", hex(number), bodies)
            if block is not None:
                return {key: value for key, value in block.items() if key not in _BODY}
            if pause > MAX_LAG_PAUSE:
                raise BackfillFailed(f"The node does not have block {number}.")
            await asyncio.sleep(pause)
            pause *= 2

    async def _logs(
        self, after: tuple[int, float], until: tuple[int, float] | None
    ) -> AsyncIterator[Any]:
        bounds = {
            "fromBlock": hex(after[0]),
            "toBlock": "latest" if until is None else hex(until[0]),
        }
        for log in await self._call("eth_getLogs", {**self._filter, **bounds}):
            if _place(log) > after:
                yield log


def _number(head: Mapping[str, Any]) -> int:
    return int(head["number"], 16)


def _hash(head: Mapping[str, Any]) -> str:
    return str(head["hash"])


def _follows(last: int | None, head: Mapping[str, Any]) -> Continuity:
    """Tell how a head stands to the last: one at an old height is a reorganisation."""
    jumps = last is not None and _number(head) > last + 1
    return Continuity.JUMP if jumps else Continuity.NEXT


def _place(log: Mapping[str, Any]) -> tuple[int, float]:
    return int(log["blockNumber"], 16), int(log["logIndex"], 16)


def _log_identity(log: Mapping[str, Any]) -> tuple[Any, ...]:
    return log["blockHash"], log["logIndex"], bool(log.get("removed"))


async def as_announced(heads: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield what ``feeds.evm.heads`` does as a node would announce it.

    A node does not announce that blocks are gone: those that took their place follow.
    """
    async for item in heads:
        if isinstance(item, Gap):
            yield item
        elif hasattr(item, "parentHash"):
            sent = dict(item.extra)
            names: Sequence[str] = item.__struct_fields__
            for name in names:
                value = getattr(item, name)
                if isinstance(value, int):
                    sent[name] = hex(value)
                elif isinstance(value, str):
                    sent[name] = value
            yield {key: value for key, value in sent.items() if key not in _BODY}
