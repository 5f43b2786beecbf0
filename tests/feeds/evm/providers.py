"""The errors with which nodes and providers refuse requests for logs.

Each as it was on the wire, and where it is recorded: a capture of public endpoints of
2026-09-08 that sent ranges far too wide (*capture*), the source or the tests of the node
itself, or a public project that quotes the answer it got.
"""

from __future__ import annotations

from typing import Any

import attrs

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.evm.refusals import Refusal


@attrs.frozen
class Answer:
    """What somebody answers, and what it means."""

    who: str
    code: int
    message: str
    means: Refusal
    blocks: int | None = None
    after: float | None = None
    data: Any = None
    source: str = "capture"

    @property
    def error(self) -> RPCError:
        return RPCError(self.code, self.message, self.data)


WIDE, MUCH, BUSY = Refusal.TOO_WIDE, Refusal.TOO_MUCH, Refusal.BUSY
ABSENT, PRUNED, REFUSED = Refusal.ABSENT, Refusal.PRUNED, Refusal.REFUSED

CHAINLINK = "smartcontractkit/chainlink, Test_IsTooManyResultsError"
INFURA_DOCS = "INFURA/infura issue 237"

ANSWERS = (
    Answer(
        "Alchemy",
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K"
        " block range and no limit on the response size, or you can request any block"
        " range with a cap of 10K logs in the response. Based on your parameters and the"
        " response size limit, this block range should work: [0x0, 0x133e71]",
        MUCH,
        blocks=0x133E72,
        source=CHAINLINK,
    ),
    Answer(
        "Alchemy, free",
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block"
        " range. Based on your parameters, this block range should work: [0x1180fca,"
        " 0x1180fd3]. Upgrade to PAYG for expanded block range.",
        WIDE,
        blocks=10,
        source="BobTheBuidler/dank_mids issue 772, and others",
    ),
    Answer(
        "Alchemy, slow",
        -32000,
        "Query timeout exceeded. Consider reducing your block range. Based on your"
        " parameters and the response size limit, this block range should work:"
        " [0x5223c98, 0x5223e80]",
        MUCH,
        blocks=489,
        source="a Rust client's tests, which quote the log",
    ),
    Answer(
        "Alchemy, rate",
        429,
        "Your app has exceeded its compute units per second capacity. If you have retries"
        " enabled, you can safely ignore this message.",
        BUSY,
        source="Alchemy, error reference",
    ),
    Answer(
        "Infura, results",
        -32005,
        "query returned more than 10000 results. Try with this block range [0xCB3D, 0x7B737].",
        MUCH,
        blocks=0x7B737 - 0xCB3D + 1,
        data={"from": "0xCB3D", "limit": 10000, "to": "0x7B737"},
        source=CHAINLINK,
    ),
    Answer(
        "Infura, range",
        -32602,
        "range 1000000 exceeds limit of 10000",
        WIDE,
        blocks=10_000,
        source=INFURA_DOCS,
    ),
    Answer(
        "Infura, rate",
        -32005,
        "daily request count exceeded, request rate limited",
        BUSY,
        after=30.0,
        data={"rate": {"allowed_rps": 1, "backoff_seconds": 30, "current_rps": 1.4}},
        source="Infura, documentation of rate limits",
    ),
    Answer(
        "QuickNode",
        -32614,
        "eth_getLogs is limited to a 10,000 range",
        WIDE,
        blocks=10_000,
        source=CHAINLINK,
    ),
    Answer(
        "QuickNode, free",
        -32602,
        "eth_getLogs is limited to a 5 block range",
        WIDE,
        blocks=5,
        source="tests of several clients",
    ),
    Answer(
        "QuickNode, rate",
        -32007,
        "20/second request limit reached - reduce calls per second or upgrade your account"
        " at quicknode.com",
        BUSY,
        source="a Rust JSON-RPC library's tests",
    ),
    Answer(
        "Ankr",
        -32600,
        "block range is too wide",
        WIDE,
        source="ponder, getLogsRetryHelper",
    ),
    Answer(
        "Ankr, rate",
        -32090,
        "Too many requests, reason: call rate limit exhausted, retry in 10m0s",
        BUSY,
        after=600.0,
        data={"trace_id": "c589c8fec713e6153a6df5d44ff5ab42"},
        source="Safe, configuration scripts",
    ),
    Answer(
        "Chainstack",
        -32602,
        "Block range limit exceeded.",
        WIDE,
        source="a Go indexer's documentation",
    ),
    Answer("Chainstack, slow", -32002, "request timed out", MUCH, source=CHAINLINK),
    Answer(
        "dRPC, plan",
        35,
        "ranges over 10000 blocks are not supported on free plan",
        WIDE,
        blocks=10_000,
        source="answers of eth.drpc.org that several repositories quote",
    ),
    Answer(
        "dRPC, results",
        -32602,
        "query exceeds max results 20000, retry with the range 50784086-50785570",
        MUCH,
        blocks=1_485,
        source="notes on base.drpc.org",
    ),
    Answer(
        "dRPC, logs", -32000, "query returns too many logs", MUCH, source="likewise"
    ),
    Answer(
        "Cloudflare",
        -32047,
        "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800",
        WIDE,
        blocks=800,
    ),
    Answer(
        "BlastAPI",
        -32600,
        "You can make eth_getLogs requests with up to a 10 block range. Based on your"
        " parameters, this block range should work: [0x18b0000, 0x18b0009]",
        WIDE,
        blocks=10,
    ),
    Answer(
        "publicnode, range",
        -32701,
        "exceed maximum block range: 50000",
        WIDE,
        blocks=50_000,
        source="notes on berachain-rpc.publicnode.com",
    ),
    Answer(
        "publicnode, old",
        -32602,
        "Archive requests require a personal token. Get one at:"
        " https://www.allnodes.com/publicnode",
        PRUNED,
    ),
    Answer(
        "1rpc",
        -32602,
        "eth_getLogs is limited to 0 - 50 blocks range",
        WIDE,
        blocks=50,
    ),
    Answer(
        "thirdweb",
        -32005,
        "Log response size exceeded. Maximum allowed number of requested blocks is 1000",
        WIDE,
        blocks=1_000,
        source="skale-network/skaled, and captures",
    ),
    Answer(
        "Base, size",
        -32020,
        "backend response too large",
        MUCH,
        source="ethereum-optimism, proxyd",
    ),
    Answer(
        "Optimism's proxy",
        -32000,
        "block is out of range",
        ABSENT,
        source="ethereum-optimism, proxyd",
    ),
    Answer(
        "Mantle",
        -32602,
        "block range greater than 10000 max",
        WIDE,
        blocks=10_000,
    ),
    Answer("BNB chain", -32005, "limit exceeded", MUCH),
    Answer(
        "Polygon zkEVM",
        -32000,
        "block range too large, max range: 10000",
        WIDE,
        blocks=10_000,
    ),
    Answer("Arbitrum", -32000, "logs matched by query exceeds limit of 10000", MUCH),
    Answer("Arbitrum, slow", -32000, "log query timed out", MUCH),
    Answer(
        "Avalanche",
        -32000,
        "requested too many blocks from 50331648 to 51380224, maximum is set to 2048",
        WIDE,
        blocks=2_048,
    ),
    Answer(
        "Cronos",
        -32000,
        "maximum [from, to] blocks distance: 2000",
        WIDE,
        blocks=2_000,
    ),
    Answer(
        "Sonic", -32000, "too wide blocks range, the limit is 100", WIDE, blocks=100
    ),
    Answer(
        "Harmony",
        -32000,
        "GetLogs query must be smaller than size 1024",
        WIDE,
        blocks=1_024,
    ),
    Answer(
        "Gnosis (Nethermind)",
        -32602,
        "invalid params",
        MUCH,
        blocks=0x80001,
        data="Query returned more than 50000 results. Try with this block range [0x1000000,"
        " 0x1080000].",
    ),
    Answer(
        "Ronin",
        -32602,
        "Invalid params",
        WIDE,
        blocks=200,
        data="requested block range 16777217 exceeds the limit of 200; narrow your"
        " fromBlock/toBlock",
    ),
    Answer(
        "zkSync",
        -32602,
        "Query returned more than 10000 results. Try with this block range [0x100000,"
        " 0x1000bb].",
        MUCH,
        blocks=188,
    ),
    Answer(
        "Celo",
        -32602,
        "query exceeds range, retry smaller (max block range 5000, got 16777216)",
        WIDE,
        blocks=5_000,
    ),
    Answer(
        "Morph",
        -32000,
        "block range is larger than max block range, block range = 5120, max block range"
        " = 5000",
        WIDE,
        blocks=5_000,
        source="enviodev/hyperindex issue 605",
    ),
    Answer(
        "Taiko",
        -32012,
        "requested range too large",
        WIDE,
        blocks=1_000,
        data={"details": {"maxAllowedRange": 1_000}},
    ),
    Answer(
        "PulseChain",
        -32000,
        "query returned more than allowed number of logs, try with smaller block range",
        MUCH,
    ),
    Answer(
        "geth, pruned",
        4444,
        "pruned history unavailable",
        PRUNED,
        source="go-ethereum, core/history",
    ),
    Answer(
        "geth, state",
        -32000,
        "missing trie node 3a91 (path ) state 0x3a91 is not available",
        PRUNED,
        source="go-ethereum, trie",
    ),
    Answer(
        "geth, header", -32000, "header not found", ABSENT, source="go-ethereum, ethapi"
    ),
    Answer(
        "geth, by hash",
        -32000,
        "unknown block",
        ABSENT,
        source="go-ethereum, eth/filters",
    ),
    Answer(
        "geth, beyond",
        -32602,
        "block range extends beyond current head block",
        ABSENT,
        source="ethereum/execution-apis pull request 875, tests",
    ),
    Answer(
        "geth, reversed",
        -32602,
        "invalid block range params",
        REFUSED,
        source="go-ethereum, eth/filters",
    ),
    Answer(
        "geth, filter",
        -32000,
        "exceed max addresses or topics per search position 1000",
        REFUSED,
        source="go-ethereum, eth/filters",
    ),
    Answer(
        "erigon, pruned",
        -32000,
        "old data not available due to pruning",
        PRUNED,
        source="erigontech/erigon, PrunedError",
    ),
    Answer(
        "erigon, behind",
        -32000,
        "requested block range [4096, 8192] is beyond latest executed block 4000 (node is"
        " still syncing)",
        ABSENT,
        source="tests of a wallet's bridge",
    ),
    Answer(
        "Nethermind",
        -32005,
        "Too many logs requested. Max logs per response is 20000.",
        MUCH,
        source="NethermindEth/nethermind, EthRpcModuleTests",
    ),
    Answer(
        "Nethermind, receipts",
        -32602,
        "Receipts for block 12 (0x0c) are neither stored nor reproducible from state"
        " history.",
        PRUNED,
        source="notes on a Nethermind node",
    ),
    Answer(
        "Besu",
        -32005,
        "Requested range exceeds maximum RPC range limit",
        WIDE,
        source="hyperledger/besu, RpcErrorType",
    ),
    Answer(
        "reth, range",
        -32602,
        "query exceeds max block range 100000",
        WIDE,
        blocks=100_000,
        source="paradigmxyz/reth, EthFilterError",
    ),
    Answer(
        "reth, results",
        -32602,
        "query exceeds max results 20000, retry with the range 22382105-22382515",
        MUCH,
        blocks=411,
        source="paradigmxyz/reth, EthFilterError",
    ),
    Answer(
        "OpenEthereum",
        -32000,
        "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be"
        " found",
        ABSENT,
        source="openethereum/parity-ethereum pull request 9256",
    ),
    Answer(
        "no method",
        -32601,
        "Method not found",
        REFUSED,
        source="JSON-RPC 2.0, section 5.1",
    ),
    Answer(
        "Infura, broken",
        -32603,
        "Internal error",
        BUSY,
        source="matter-labs/zksync-os-server pull request 496",
    ),
    Answer(
        "Blockscout, broken",
        -32000,
        "Internal server error",
        BUSY,
        source="blockscout/blockscout issue 3746",
    ),
    Answer(
        "an internal error that says what",
        -32603,
        "internal error: query returned more than 10000 results",
        MUCH,
        source="JSON-RPC 2.0, section 5.1",
    ),
    Answer("a proxy", 502, "Bad Gateway", BUSY, source="RFC 9110, section 15.6.3"),
    Answer("a bare code", -32005, "", MUCH, source="EIP-1474: limit exceeded"),
)
