"""A node in memory, with the limits and the lies that a test gives it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.evm.bloom import bloom_of
from resilient_ws.feeds.evm.types import Head, head_of


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


ADDRESS = "0x" + "aa" * 20
TOPIC = "0x" + "dd" * 32


def word(*what: object) -> str:
    """A hash of anything."""
    return "0x" + hashlib.sha256(repr(what).encode()).hexdigest()


class FakeNode:
    """Answers ``eth_getLogs`` and what goes with it from a chain of its own.

    Args:
        counts: The logs of each block, from block 0.
        delay: Seconds that each answer takes.
    """

    def __init__(self, counts: Sequence[int], *, delay: float = 0.0) -> None:
        self.counts = list(counts)
        self._delay = delay
        self.bloom = True
        #: Whether its blooms allow everything.
        self.full = False
        self.max_range: int | None = None
        self.max_results: int | None = None
        #: Called with each request; may return another answer, or raise.
        self.lie: Callable[[str, Any], Any] = lambda *_: NotImplemented
        self.calls: list[tuple[str, Any]] = []
        self.in_flight = self.most_in_flight = 0

    def hash(self, number: int) -> str:
        return word("block", number)

    def logs(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "address": ADDRESS,
                "topics": [TOPIC, f"0x{index:064x}"],
                "data": f"0x{number:08x}",
                "blockNumber": hex(number),
                "blockHash": self.hash(number),
                "transactionHash": word("transaction", number),
                "transactionIndex": "0x0",
                "logIndex": hex(index),
                "removed": False,
            }
            for index in range(self.counts[number])
        ]

    def block(self, number: int) -> dict[str, Any] | None:
        if not 0 <= number < len(self.counts):
            return None
        values = [v for log in self.logs(number) for v in (ADDRESS, *log["topics"])]
        bloom = bloom_of(values) if self.bloom else 0
        bloom = (1 << 2048) - 1 if self.full else bloom
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": hex(1_000 + number),
            "logsBloom": f"0x{bloom:0512x}",
            "transactions": [word("transaction", number)],
        }

    def head(self, number: int) -> Head:
        return head_of(self.block(number))

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        self.calls.append((method, params))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._delay)
            lie = self.lie(method, params[0])
            return self._answer(method, params[0]) if lie is NotImplemented else lie
        finally:
            self.in_flight -= 1

    def asked(self, method: str) -> int:
        """How often a method was called."""
        return sum(1 for each, _ in self.calls if each == method)

    def _answer(self, method: str, what: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return self.block(int(what, 16))
        numbers = {self.hash(number): number for number in range(len(self.counts))}
        if method == "eth_getBlockReceipts":
            number = numbers.get(what)
            return None if number is None else [{"logs": self.logs(number)}]
        if "blockHash" in what:
            if what["blockHash"] not in numbers:
                raise RPCError(-32000, "unknown block")
            return self._within(self.logs(numbers[what["blockHash"]]))
        first, last = int(what["fromBlock"], 16), int(what["toBlock"], 16)
        if self.max_range is not None and last - first + 1 > self.max_range:
            raise RPCError(-32602, f"query exceeds max block range {self.max_range}")
        last = min(last, len(self.counts) - 1)
        return self._within(
            [log for n in range(first, last + 1) for log in self.logs(n)]
        )

    def _within(self, logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.max_results is not None and len(logs) > self.max_results:
            most = self.max_results
            raise RPCError(-32005, f"query returned more than {most} results")
        return logs
