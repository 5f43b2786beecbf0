"""Bots on libraries of other hands, each in a process of its own."""

from __future__ import annotations

import collections
import json
import sys
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from tests.servers.chains import TOPIC, Block, version_of
from tests.servers.process import NODE_MODULES, ServerProcess, daemon


if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLDER: Final = NODE_MODULES.parent
_PYTHON: Final = (sys.executable, "-m", "tests.feeds.chains.follow_web3")

#: What each is called in the page, and how it is started, before its URL.
PEERS: Final = ("web3.py", "viem", "viem, polling", "ethers")


class Follower(ServerProcess):
    """A bot that follows a chain, and tells what it was given."""

    def __init__(self, peer: str, url: str) -> None:
        command = {
            "web3.py": [*_PYTHON, url, TOPIC],
            "viem": [*_node("follow_viem.js"), url, TOPIC],
            "viem, polling": [*_node("follow_viem.js"), url, TOPIC, "poll"],
            "ethers": [*_node("follow_ethers.js"), url, TOPIC],
        }[peer]
        super().__init__(command, port=0)
        self.peer: Final = peer

    @override
    def _accepts(self) -> bool:
        return bool(self.entries("ready"))

    def judged(self, chain: Iterable[Block], after: int) -> Row:
        """What it did wrong, with ``chain`` as the truth, above the height ``after``."""
        return _judged(self, [block for block in chain if block.number > after])


def _node(program: str) -> list[str]:
    return [daemon("node", "nodejs"), str(_FOLDER / program)]


@attrs.frozen(kw_only=True)
class Row:
    """What a bot made of a chain, beside what the node has.

    Attributes:
        blocks: Blocks of the chain, which it should have been given.
        missed: Those that it was never given.
        doubled: Those that it was given more than once.
        logs: Logs in them, and ``logs_missed`` and ``logs_doubled`` as above.
        stale_logs: Logs of blocks that are gone, and were never taken back.
        last: The number of the last block of the chain that it was given.
        is_deaf: Whether it was not given the newest block, and so had ended, or might
            as well have.
        why: What it said last when it was in trouble.
    """

    blocks: int
    missed: int
    doubled: int
    logs: int
    logs_missed: int
    logs_doubled: int
    stale_logs: int
    last: int
    is_deaf: bool
    why: str


def _judged(follower: Follower, chain: list[Block]) -> Row:
    given = collections.Counter(e["hash"] for e in follower.entries("block"))
    logs: collections.Counter[tuple[str, int]] = collections.Counter()
    doubled = 0
    for entry in follower.entries("log"):
        key = entry["hash"], entry["index"]
        if entry["removed"]:
            logs[key] = 0
        else:
            doubled += logs[key] > 0
            logs[key] += 1
    wanted = [(block.hash, index) for block in chain for index, _ in block.logs]
    hashes = {block.hash for block in chain}
    troubles = [*follower.entries("trouble"), *follower.entries("died")]
    return Row(
        blocks=len(chain),
        missed=sum(not given[block.hash] for block in chain),
        doubled=sum(given[block.hash] > 1 for block in chain),
        logs=len(wanted),
        logs_missed=sum(not logs[key] for key in wanted),
        logs_doubled=doubled,
        stale_logs=sum(1 for (h, _), n in logs.items() if n and h not in hashes),
        last=max((b.number for b in chain if given[b.hash]), default=0),
        is_deaf=not given[chain[-1].hash],
        why=troubles[-1]["why"] if troubles else "",
    )


def versions() -> dict[str, str]:
    """The version of each library."""
    import web3  # noqa: PLC0415  # one peer of four

    found = {"web3.py": version_of(web3.__version__)}
    for name in ("viem", "ethers"):
        package = json.loads((NODE_MODULES / name / "package.json").read_text())
        found[name] = package["version"]
    found["viem, polling"] = found["viem"]
    return found
