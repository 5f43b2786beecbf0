"""What the servers of this benchmark send: notifications that count up."""

from __future__ import annotations

import json
from typing import Any, Final


KEY: Final = "0x9cef478923ff08bf67fde6c64013158d"
#: The two kinds of item: a trade, and a log as an Ethereum node sends it.
KINDS: Final = ("trade", "log")

_TRADE: Final[dict[str, Any]] = {
    "price": "64012.37",
    "size": "0.01250000",
    "side": "buy",
    "time": "2026-11-30T12:00:00.123456Z",
}
_LOG: Final[dict[str, Any]] = {
    "address": "0xdac17f958d2ee523a2206206994597c13d831ec7",
    "topics": [
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        "0x000000000000000000000000a9d1e08c7793af67e9d92fe308d5697fb81d3e43",
        "0x0000000000000000000000006b44ba0a126a2a1a8aa6cd1adeed002e141bcd44",
    ],
    "data": "0x" + f"{1_250_000_000:064x}",
    "transactionHash": "0x" + "3b" * 32,
    "transactionIndex": "0x4",
    "blockHash": "0x" + "c5" * 32,
    "logIndex": "0x1c",
    "removed": False,
}


def item(kind: str, number: int) -> dict[str, Any]:
    """Return an item; its number stands in it as such an item has it."""
    if kind == "trade":
        return {"n": number, **_TRADE}
    return {"blockNumber": hex(number), **_LOG}


def number_of(item: Any) -> int:  # noqa: ANN401 - decoded JSON
    """Return the number of an item."""
    number = item.get("n")
    if number is not None:
        return number  # type: ignore[no-any-return]
    # web3.py has decoded it.
    block = item["blockNumber"]
    return block if isinstance(block, int) else int(block, 16)


def notification(kind: str, number: int, sent: int | None = None) -> bytes:
    """Return a message; ``sent`` is the time at which it leaves, in nanoseconds."""
    value = item(kind, number)
    if sent is not None:
        value["sent"] = sent
    message = {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": KEY, "result": value},
    }
    return json.dumps(message, separators=(",", ":")).encode()
