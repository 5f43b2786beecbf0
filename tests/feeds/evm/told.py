"""A consumer of a chain, with its two actions: apply a block, undo a block."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.client import connect as websocket

from resilient_ws.feeds import Gap, ReorgTooDeep
from resilient_ws.feeds.evm import Head, Reorg


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilient_ws.feeds.evm import BlockRef, ChainStream


class Told:
    """The chain as it was told; every item is checked as it comes.

    Attributes:
        blocks: The hashes by height.
        reorgs: Those that were told.
        gaps: Likewise.
    """

    def __init__(self, blocks: dict[int, str] | None = None) -> None:
        self.blocks: dict[int, str] = dict(blocks or {})
        self.items: list[Any] = []
        self.reorgs: list[Reorg] = []
        self.gaps: list[Gap] = []
        # The height of the next block, where it is certain.
        self.next: int | None = max(self.blocks, default=-1) + 1 if blocks else None

    @property
    def tip(self) -> int:
        return max(self.blocks, default=-1)

    def take(self, item: Head | Reorg | Gap) -> None:
        self.items.append(item)
        if isinstance(item, Head):
            self.apply(item)
        elif isinstance(item, Reorg):
            self.undo(item)
        else:
            self.leave_out(item)

    def apply(self, head: Head) -> None:
        number = head.number
        assert number not in self.blocks, f"{number} was told twice"
        if self.next is not None and self.blocks:
            assert number == self.next, f"{number} came in place of {self.next}"
        if number - 1 in self.blocks:
            assert self.blocks[number - 1] == head.parentHash, f"{number} hangs loose"
        assert (head.cursor.number, head.cursor.hash) == (number, head.hash)
        self.blocks[number] = head.hash
        self.next = number + 1

    def undo(self, reorg: Reorg) -> None:
        self.reorgs.append(reorg)
        assert reorg.depth == len(reorg.removed) > 0
        for block in reorg.removed:
            assert block.number == self.tip, "not the newest"
            assert self.blocks.pop(block.number) == block.hash, "never told"
        ancestor: BlockRef = reorg.ancestor
        assert reorg.cursor.number == ancestor.number
        assert reorg.cursor.hash == ancestor.hash
        if self.blocks:
            assert self.blocks[self.tip] == ancestor.hash
        self.next = ancestor.number + 1

    def leave_out(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if isinstance(gap.because, ReorgTooDeep):
            first = -1 if gap.first_missing is None else gap.first_missing
            assert first <= gap.until
            self.blocks = {n: h for n, h in self.blocks.items() if n < first}
            self.next = gap.first_missing
        elif gap.first_missing is None:
            self.blocks, self.next = {}, gap.until + 1
        else:
            assert not self.blocks or self.next in (None, gap.first_missing)
            assert gap.first_missing <= gap.until
            self.next = gap.until + 1

    async def follow(self, stream: ChainStream[Any], until: Callable[[], bool]) -> None:
        """Take items until a condition holds."""
        async with asyncio.timeout(60):
            while not until():
                self.take(await anext(stream))


class Node:
    """Calls a node on a connection of another library."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ids = iter(range(1, 1_000_000))

    async def __aenter__(self) -> Self:
        self._connection = await websocket(self._url, proxy=None, max_size=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def call(self, method: str, *params: Any) -> Any:
        request = {"id": next(self._ids), "method": method, "params": params}
        await self._connection.send(json.dumps({"jsonrpc": "2.0", **request}))
        answer = json.loads(await self._connection.recv())
        assert answer["id"] == request["id"]
        assert "error" not in answer, answer
        return answer["result"]

    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> None:
        """Have the node carry out several calls, which must not fail."""
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": name, "params": params}
            for name, params in calls
        ]
        await self._connection.send(json.dumps(requests))
        for answer in json.loads(await self._connection.recv()):
            assert "error" not in answer, answer

    async def mine(self, count: int = 1) -> None:
        for _ in range(count):
            await self.call("evm_mine")

    async def tip(self) -> tuple[int, str]:
        block = await self.call("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), block["hash"]

    async def chain(self, first: int = 0) -> dict[int, str]:
        """The node's own chain, hash by hash."""
        last, _ = await self.tip()
        blocks = {}
        for number in range(first, last + 1):
            block = await self.call("eth_getBlockByNumber", hex(number), False)
            blocks[number] = block["hash"]
        return blocks
