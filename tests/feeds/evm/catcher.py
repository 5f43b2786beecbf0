"""A consumer that starts from a cursor and stops at a height: a process of its own.

Prints one JSON object: how long it took, what it was told, and its memory on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import pathlib
import sys
import time
from typing import Any

from resilient_ws import connect
from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import BlockLogs, Cursor, LogFilter, logs
from resilient_ws.feeds.jsonrpc import Client


#: How often memory is looked at on the way.
LOOKS = 10


def memory_of(name: str) -> int:
    """Bytes of memory that this process has (VmRSS), or had at most (VmHWM)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


class Places:
    """A digest of the places of logs, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, number: int, block: str, index: int) -> None:
        self._hash.update(f"{number} {block} {index}\n".encode())
        self.count += 1

    def __str__(self) -> str:
        return self._hash.hexdigest()


async def catch_up(
    url: str, address: str, text: str, through: int, verify: Any
) -> None:
    """Read until everything through a height was told."""
    cursor = Cursor.parse(text)
    places, gaps = Places(), 0
    began, cpu = time.perf_counter(), time.process_time()
    memory, step = [], (through - cursor.number) // LOOKS
    look = cursor.number
    session = connect(url, max_message_size=32 * 1024 * 1024)
    async with Client(session) as client:
        stream = logs(client, LogFilter(address=address), after=cursor, verify=verify)
        async for item in stream:
            if isinstance(item, Gap):
                gaps += 1
                continue
            if isinstance(item, BlockLogs):
                for log in item.logs:
                    places.add(log.blockNumber, log.blockHash, log.logIndex)
            if item.cursor.number >= look:
                look += step
                memory.append(memory_of("VmRSS"))
            if item.cursor.number >= through:
                break
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - began,
                "cpu": time.process_time() - cpu,
                "logs": places.count,
                "digest": str(places),
                "gaps": gaps,
                "memory": memory,
                "peak": memory_of("VmHWM"),
            }
        )
    )


if __name__ == "__main__":
    url, address, text, through, verify = sys.argv[1:]
    asyncio.run(catch_up(url, address, text, int(through), verify))
