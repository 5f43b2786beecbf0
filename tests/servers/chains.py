"""Chain nodes of other hands, and a hand that mines, reorganises and emits on them.

Every node here speaks JSON-RPC over HTTP and WebSocket on one port. A ``Miner`` gives
each block its time, so that two nodes that are told the same make the same blocks, hash
by hash.
"""

from __future__ import annotations

import asyncio
import collections
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import attrs
from typing_extensions import override

from tests.servers.daemons import Anvil, is_whole
from tests.servers.process import HOST, NODE_MODULES, ServerProcess, daemon, node_module


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence
    from types import TracebackType


#: The topic of every log that a ``Miner`` emits.
TOPIC: Final = "0x" + "aa".rjust(64, "0")
#: The time of the first block, where two nodes must agree.
GENESIS: Final = 1_700_000_000
#: Snapshots of a node that are kept, and so the deepest reorganisation by them.
MAX_SNAPSHOTS: Final = 64
_CALL_TIMEOUT: Final = 10.0


class Hardhat(ServerProcess):
    """A development chain on EDR, with mining by hand. It has no state file.

    Hardhat 2, for 3 asks for a newer Node than distributions have.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Write the configuration into ``folder``."""
        program = node_module("hardhat/internal/cli/bootstrap.js")
        config = folder / "hardhat.config.cjs"
        mining = {"auto": False, "interval": 0}
        network = {"chainId": 31337, "mining": mining}
        settings = {"solidity": "0.8.28", "networks": {"hardhat": network}}
        config.write_text(f"module.exports = {json.dumps(settings)};\n")
        # It runs only where it finds itself installed.
        (folder / "package.json").write_text('{"private": true}\n')
        (folder / "node_modules").symlink_to(NODE_MODULES)
        command = [daemon("node", "nodejs"), str(program), "--config", str(config)]
        arguments = ["node", "--hostname", HOST, "--port", "{port}"]
        super().__init__([*command, *arguments], cwd=folder)


class Ganache(ServerProcess):
    """A development chain that mines a block for each transaction, and keeps nothing."""

    def __init__(self) -> None:
        program = node_module("ganache/dist/node/cli.js")
        command = [daemon("node", "nodejs"), str(program)]
        arguments = ["--server.host", HOST, "--server.port", "{port}"]
        quiet = ["--logging.quiet", "--wallet.deterministic"]
        super().__init__([*command, *arguments, *quiet])


class KeptAnvil(Anvil):
    """Anvil with mining by hand, whose state file outlives a kill in mid-write."""

    def __init__(self, folder: pathlib.Path, *arguments: str) -> None:
        """Keep the chain in ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        time = ("--timestamp", str(GENESIS))
        super().__init__(folder, "--no-mining", *time, *arguments)
        self._sound = folder / "sound.json"

    async def restart_as_kept(self, *, down: float = 0.0) -> None:
        """Kill it, and start it ``down`` seconds later with what its file has.

        What is younger than the last dump is gone: the chain may be shorter.
        """
        await self.kill()
        await asyncio.sleep(down)
        self._mend()
        await self.start()

    async def remember(self) -> None:
        """Wait for a dump of the chain as it is now, and keep a copy of it."""
        await self.dumped()
        shutil.copyfile(self.state, self._sound)

    async def restart_as_remembered(self, *, down: float = 0.0) -> None:
        """Kill it, and start it with the chain of the last ``remember``."""
        await self.kill()
        await asyncio.sleep(down)
        shutil.copyfile(self._sound, self.state)
        await self.start()

    def _mend(self) -> None:
        """Put the last sound file in the place of one that a kill cut off."""
        if is_whole(self.state):
            shutil.copyfile(self.state, self._sound)
        elif self._sound.exists():
            shutil.copyfile(self._sound, self.state)
        else:
            self.state.unlink(missing_ok=True)


class NodeError(Exception):
    """A node answered with an error."""


@attrs.frozen
class Block:
    """A block as the node has it: what a consumer must have been told."""

    number: int
    hash: str
    parent: str
    #: The index of each log of ours, with its data.
    logs: tuple[tuple[int, str], ...] = ()


@attrs.frozen
class Mined:
    """What was done to a chain, so that another node can be told the same."""

    #: The height that is left before the new block, or ``None`` for all that there is.
    back_to: int | None
    transactions: tuple[str, ...]
    time: int


def emitting(count: int, mark: int) -> str:
    """Return the code of a contract that is never created, but emits ``count`` logs.

    The data of each is ``mark`` and its number, so that no two blocks are alike. The
    code runs as that of the creation, so nothing depends on what a node keeps.
    """
    loop = (
        f"61{count:04x}"  # 0: how many are left
        "5b"  # 3: a turn begins
        "8015602d57"  # none left: to the end
        f"67{mark:016x}600052"  # memory 0..31: the mark
        "80602052"  # memory 32..63: the number
        "80"  # the second topic: the number
        "60aa"  # the first
        "60406000a2"  # LOG2 of 64 bytes from 0
        "600190036003565b"  # one less, and again; the end
    )
    code = bytes.fromhex(loop)
    # The end is where it came to be.
    code = code.replace(b"\x60\x2d\x57", bytes([0x60, len(code) - 1, 0x57]))
    return "0x" + (code + b"\x00").hex()


class Caller:
    """Calls a node over HTTP, each call by itself, so that no kill is in the way."""

    def __init__(self, node: ServerProcess) -> None:
        self.node: Final = node
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_CALL_TIMEOUT)
        connector = aiohttp.TCPConnector(force_close=True)
        self._http = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def call(self, method: str, *params: Any) -> Any:
        """Call a method, and return its result.

        Raises:
            NodeError: The node answered with an error.
            OSError, aiohttp.ClientError: There is no node just now.
        """
        assert self._http is not None
        url = f"http://{HOST}:{self.node.port}/"
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._http.post(url, json=request) as response:
            answer = await response.json()
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def height(self) -> int:
        """The number of the newest block."""
        return int(await self.call("eth_blockNumber"), 16)

    async def block(self, number: int) -> Block:
        """One block, with its logs of ours, by its receipts where the node has them."""
        found = await self.call("eth_getBlockByNumber", hex(number), False)
        query = {"blockHash": found["hash"], "topics": [TOPIC]}
        logs = await self.call("eth_getLogs", query)
        return Block(
            number,
            found["hash"],
            found["parentHash"],
            tuple((int(log["logIndex"], 16), log["data"]) for log in logs),
        )

    async def chain(self, first: int, last: int | None = None) -> list[Block]:
        """The blocks from ``first`` through ``last``, or the newest."""
        last = await self.height() if last is None else last
        return [await self.block(number) for number in range(first, last + 1)]


class Miner(Caller):
    """Mines, emits logs and reorganises, on one node."""

    def __init__(self, node: ServerProcess) -> None:
        super().__init__(node)
        self._marks = 0
        self._account = ""
        self._snapshots: dict[int, str] = {}
        #: What was done, for ``repeat`` on another node.
        self.done: collections.deque[Mined] = collections.deque(maxlen=10_000)

    @override
    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._account = (await self.call("eth_accounts"))[0]
        return self

    async def mine(self, *logs: int) -> None:
        """Mine a block with a transaction for each of ``logs``, of that many logs."""
        await self._do(None, [self._emitting(count) for count in logs])

    async def reorganise(self, depth: int, *logs: int, longer: int = 1) -> None:
        """Replace the newest ``depth`` blocks by others, and ``longer`` more.

        The first of them has a transaction for each of ``logs``, and one at least.
        """
        height = await self.height()
        codes = [self._emitting(count) for count in logs or (0,)]
        await self._do(height - depth, codes)
        for _ in range(depth - 1 + longer):
            await self.mine(1)

    async def reorganise_at_once(self, depth: int, *logs: int) -> None:
        """Replace the newest ``depth`` blocks by as many, as ``anvil_reorg`` does."""
        height = await self.height()
        removed = [
            await self.call("eth_getBlockByNumber", hex(number), True)
            for number in range(height - depth + 1, height + 1)
        ]
        nonces = [int(t["nonce"], 16) for b in removed for t in b["transactions"]]
        nonce = min(nonces) if nonces else await self._nonce()
        pairs = [
            ({**self._transaction(self._emitting(count)), "nonce": hex(nonce + n)}, 0)
            for n, count in enumerate(logs or (0,))
        ]
        await self.call("anvil_reorg", depth, pairs)
        self._forget_above(height - depth)

    async def shorten(self, depth: int) -> None:
        """Take away the newest ``depth`` blocks, and put none in their place."""
        await self._back_to(await self.height() - depth)

    async def repeat(self, mined: Mined) -> None:
        """Do what another miner has done."""
        await self._carry_out(mined)

    async def deepest(self) -> int:
        """How many of the newest blocks ``reorganise`` can replace."""
        height = await self.height()
        return sum(1 for number in self._snapshots if number < height)

    def forget(self) -> None:
        """Take note that the node has begun a new life, without its snapshots."""
        self._snapshots.clear()

    async def _do(self, back_to: int | None, codes: Sequence[str]) -> None:
        if back_to is None:
            parent = await self.call("eth_getBlockByNumber", "latest", False)
        else:
            parent = await self.call("eth_getBlockByNumber", hex(back_to), False)
        mined = Mined(back_to, tuple(codes), int(parent["timestamp"], 16) + 1)
        await self._carry_out(mined)
        self.done.append(mined)

    async def _carry_out(self, mined: Mined) -> None:
        if mined.back_to is not None:
            await self._back_to(mined.back_to)
        height = await self.height()
        self._snapshots[height] = await self.call("evm_snapshot")
        self._snapshots = dict(list(self._snapshots.items())[-MAX_SNAPSHOTS:])
        for code in mined.transactions:
            await self.call("eth_sendTransaction", self._transaction(code))
        # Ganache has mined already.
        if await self.height() == height:
            await self.call("evm_mine", mined.time)

    async def _back_to(self, height: int) -> None:
        assert await self.call("evm_revert", self._snapshots[height])
        self._forget_above(height - 1)

    def _forget_above(self, height: int) -> None:
        self._snapshots = {n: s for n, s in self._snapshots.items() if n <= height}

    async def _nonce(self) -> int:
        return int(
            await self.call("eth_getTransactionCount", self._account, "latest"), 16
        )

    def _emitting(self, count: int) -> str:
        self._marks += 1
        return emitting(count, self._marks)

    def _transaction(self, code: str) -> dict[str, str]:
        return {
            "from": self._account,
            "data": code,
            "gas": hex(400_000),
            "gasPrice": hex(10**10),
        }


def version_of(text: str) -> str:
    """The version in what a node or a package says of itself."""
    found = re.search(r"\d+\.\d+\.\d+", text)
    return found.group() if found else text
