"""The three parts of the campaign, each over its seeds, and what they came to."""

from __future__ import annotations

import pathlib
import platform
import tempfile
from typing import TYPE_CHECKING, Any, Final

import attrs

from tests.feeds.chains import killed, lies, run
from tests.feeds.chains.peers import PEERS, versions
from tests.servers.lying import LIMITS, Lie


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

#: Blocks in a run before a node that lies.
LYING_BLOCKS: Final = 40
PARTS: Final = ("chain", "lies", "killed")
#: For each lie, how logs are verified, and the most of them in a block.
VERIFIED: Final = {
    Lie.NONE: (("bloom", 3),),
    Lie.UNEVEN: (("bloom", 3),),
    Lie.DENIES: (("bloom", 3),),
    Lie.RANGE: (("bloom", 1), ("receipts", 3)),
    Lie.EVERY: (("bloom", 1), ("receipts", 3)),
    Lie.REFUSES: (("bloom", 3),),
    Lie.DEAF: (("bloom", 3),),
    Lie.EARLY: (("bloom", 3),),
}


async def chain(seeds: Sequence[int], blocks: int) -> AsyncIterator[dict[str, Any]]:
    """Everything is done to a node, and all follow it."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            one = run.Run(pathlib.Path(folder), seed=seed, blocks=blocks, peers=PEERS)
            report = await one.run()
        yield {**attrs.asdict(report), "violations": report.violations}


async def lying(seeds: Sequence[int], _: int) -> AsyncIterator[dict[str, Any]]:
    """Every lie, each alone."""
    names = list(LIMITS)
    for lie, ways in VERIFIED.items():
        for verify, logs in ways:
            for seed in seeds:
                with tempfile.TemporaryDirectory() as folder:
                    one = lies.Run(
                        pathlib.Path(folder),
                        lie,
                        seed=seed,
                        blocks=LYING_BLOCKS,
                        verify=verify,
                        logs=logs,
                        limit=names[seed % len(names)],
                    )
                    report = attrs.asdict(await one.run())
                yield {**report, "lie": lie.name, "most": logs}


async def kills(seeds: Sequence[int], blocks: int) -> AsyncIterator[dict[str, Any]]:
    """The consumer is killed, and so is the node."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            one = killed.Run(pathlib.Path(folder), seed=seed, blocks=blocks)
            yield attrs.asdict(await one.run())


def about() -> dict[str, Any]:
    """What the runs are of."""
    return {"python": platform.python_version(), "versions": versions()}
