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


@attrs.frozen
class Way:
    """How our stream meets a lie.

    Attributes:
        verify: How it verifies logs.
        logs: The most logs in a block.
    """

    verify: lies.Verify = "bloom"
    logs: int = 3


#: A bloom cannot show that one of several logs is missing, so that is not asked of it.
_DROPPED: Final = (Way(logs=1), Way("receipts"))
WAYS: Final = {
    lie: _DROPPED if lie in {Lie.RANGE, Lie.EVERY} else (Way(),) for lie in Lie
}


async def chain(seeds: Sequence[int], blocks: int) -> AsyncIterator[dict[str, Any]]:
    """Everything is done to a node, and all follow it."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            one = run.Run(pathlib.Path(folder), seed=seed, blocks=blocks, peers=PEERS)
            yield dumped(await one.run())


def dumped(report: run.Report) -> dict[str, Any]:
    """The report of a run, as the page takes it."""
    return {**attrs.asdict(report), "violations": report.violations}


async def lying(seeds: Sequence[int], _: int) -> AsyncIterator[dict[str, Any]]:
    """Every lie, each alone."""
    for seed in seeds:
        for lie, ways in WAYS.items():
            for way in ways:
                yield await lied_to(lie, way, seed=seed, blocks=LYING_BLOCKS)


async def lied_to(
    lie: Lie,
    way: Way,
    *,
    seed: int,
    blocks: int,
    stale_after: float = lies.STALE_AFTER,
) -> dict[str, Any]:
    """One lie, met in one way: the report of the run."""
    names = list(LIMITS)
    with tempfile.TemporaryDirectory() as folder:
        one = lies.Run(
            pathlib.Path(folder),
            lie,
            seed=seed,
            blocks=blocks,
            verify=way.verify,
            logs=way.logs,
            limit=names[seed % len(names)],
            stale_after=stale_after,
        )
        report = attrs.asdict(await one.run())
    return {**report, "lie": lie.name}


async def kills(seeds: Sequence[int], blocks: int) -> AsyncIterator[dict[str, Any]]:
    """The consumer is killed, and so is the node."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            one = killed.Run(pathlib.Path(folder), seed=seed, blocks=blocks)
            yield attrs.asdict(await one.run())


def about() -> dict[str, Any]:
    """What the runs are of."""
    return {"python": platform.python_version(), "versions": versions()}
