"""Which methods of a node may be called twice."""

from __future__ import annotations

from typing import Final


_READS: Final = {
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_simulateV1",
    "eth_syncing",
}


def reads(method: str) -> bool:
    """Return whether a method of Ethereum's JSON-RPC API only reads.

    Such a call may be executed twice. The methods of filters are none of them: each
    call to ``eth_getFilterChanges`` moves the filter on.
    """
    if method.startswith("eth_get"):
        return "Filter" not in method
    return method in _READS or method.startswith(("net_", "web3_"))
