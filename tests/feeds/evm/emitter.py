"""A contract that emits logs, and what a node of another hand makes of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from tests.feeds.evm.told import Node


if TYPE_CHECKING:
    from typing import Self


#: The first topic of each log.
EMITTED = "0x" + "e1" * 32
#: Blocks that are mined with one request.
BATCH = 10
#: Gas for 200 logs.
GAS = hex(2_000_000)

# Emits as many logs as the first word of the call data says, each with the number that
# is left as its second topic and its data:
#   PUSH1 0 CALLDATALOAD
#   JUMPDEST DUP1 ISZERO PUSH1 end JUMPI
#   DUP1 PUSH1 0 MSTORE
#   DUP1 PUSH32 EMITTED PUSH1 32 PUSH1 0 LOG2
#   PUSH1 1 SWAP1 SUB PUSH1 3 JUMP
#   JUMPDEST STOP
_RUNTIME = f"6000355b8015603b5780600052807f{EMITTED[2:]}60206000a2600190036003565b00"
assert _RUNTIME[2 * 0x3B :] == "5b00", "the jump goes to the end"
# Copies the code behind itself into memory, and returns it: 12 bytes.
_CREATION = f"60{len(_RUNTIME) // 2:02x}600c60003960{len(_RUNTIME) // 2:02x}6000f3"


class Emitter(Node):
    """Emits logs on a node that mines when it is told to, and looks at them.

    Attributes:
        address: The contract.
    """

    address: str

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        (self._account, *_) = await self.call("eth_accounts")
        self.address = await self._deploy()
        return self

    async def reconnect(self) -> None:
        """Go on with the same contract, after the node was started again."""
        await super().__aenter__()

    async def _deploy(self) -> str:
        code = "0x" + _CREATION + _RUNTIME
        sent = {"from": self._account, "data": code, "gas": GAS}
        done = await self.call("eth_sendTransaction", sent)
        await self.mine()
        receipt = await self.call("eth_getTransactionReceipt", done)
        address: str = receipt["contractAddress"]
        return address

    async def emit(self, *counts: int) -> None:
        """Mine a block for each count, with as many logs."""
        for count in counts:
            if count:
                await self.send(count)
            await self.mine()

    async def emit_fast(self, *counts: int) -> None:
        """Mine as many blocks, with all these logs, which come every few blocks."""
        known = await self.call("eth_getTransactionCount", self._account, "latest")
        nonces = itertools.count(int(known, 16))
        for begin in range(0, len(counts), BATCH):
            part = counts[begin : begin + BATCH]
            sent = [
                {**self._emitting(count), "nonce": hex(next(nonces))}
                for count in part
                if count
            ]
            await self.batch([("eth_sendTransaction", [each]) for each in sent])
            await self.batch([("evm_mine", [])] * len(part))

    async def send(self, count: int) -> None:
        """Have the next block emit logs."""
        await self.call("eth_sendTransaction", self._emitting(count))

    def _emitting(self, count: int) -> dict[str, str]:
        return {
            "from": self._account,
            "to": self.address,
            "data": f"0x{count:064x}",
            "gas": GAS,
        }

    async def logs(self, first: int = 0, last: int | None = None) -> list[Any]:
        """Return the places of the node's own logs: height, hash and index."""
        found = await self.call(
            "eth_getLogs",
            {
                "address": self.address,
                "fromBlock": hex(first),
                "toBlock": "latest" if last is None else hex(last),
            },
        )
        return [place(log) for log in found]


def place(log: dict[str, Any]) -> tuple[int, str, int]:
    """The height, the hash and the index of a log as a node sends it."""
    return int(log["blockNumber"], 16), log["blockHash"], int(log["logIndex"], 16)
