"""A token of which transfers are made at will, and what the node makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from examples.transfers import TRANSFER
from tests.feeds.evm.told import Node


if TYPE_CHECKING:
    from typing import Self


GAS = hex(200_000)
ALICE, BOB, CAROL = (f"0x{digit * 40}" for digit in "abc")

# Emits Transfer(from, to, amount) of the three words of the call data:
#   PUSH1 64 CALLDATALOAD PUSH1 0 MSTORE
#   PUSH1 32 CALLDATALOAD PUSH1 0 CALLDATALOAD PUSH32 TRANSFER
#   PUSH1 32 PUSH1 0 LOG3 STOP
_RUNTIME = f"6040356000526020356000357f{TRANSFER[2:]}60206000a300"
_CREATION = f"60{len(_RUNTIME) // 2:02x}600c60003960{len(_RUNTIME) // 2:02x}6000f3"


class Token(Node):
    """The contract, on a node that mines when it is told to."""

    address: str

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        (self._account, *_) = await self.call("eth_accounts")
        code = f"0x{_CREATION}{_RUNTIME}"
        done = await self._send({"data": code, "gas": GAS})
        await self.mine()
        receipt = await self.call("eth_getTransactionReceipt", done)
        self.address = receipt["contractAddress"]
        return self

    async def reconnect(self) -> None:
        """Go on with the same contract, after the node was started again."""
        await super().__aenter__()

    async def transfer(self, *transfers: tuple[str, str, int]) -> None:
        """Mine a block with these transfers."""
        for sender, receiver, amount in transfers:
            words = f"{sender[2:]:0>64}{receiver[2:]:0>64}{amount:064x}"
            call = {"to": self.address, "data": f"0x{words}", "gas": GAS}
            await self._send(call)
        await self.mine()

    async def _send(self, transaction: dict[str, Any]) -> str:
        sent = {"from": self._account, **transaction}
        done: str = await self.call("eth_sendTransaction", sent)
        return done

    async def rows(self) -> list[tuple[str, int, str, str, str]]:
        """Return what a table of all transfers should hold, in order."""
        wanted = {"address": self.address, "fromBlock": "0x0", "toBlock": "latest"}
        return [
            (
                log["blockHash"],
                int(log["logIndex"], 16),
                *(f"0x{topic[-40:]}" for topic in log["topics"][1:]),
                str(int(log["data"], 16)),
            )
            for log in await self.call("eth_getLogs", wanted)
        ]
