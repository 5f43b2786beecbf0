"""A server that accepts and then ends, or refuses, is dialled at the backoff's pace."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
import resource
import statistics
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws.testing import Peer, ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import closing, rejecting, resetting
from tests.record import ENDURANCE, now


if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient_ws.testing import Peer
    from resilient_ws.testing.scripts import Script

SEEDS = 1000 if ENDURANCE else 150
WATCHED = 60.0


def by_turns(first: Script, second: Script) -> Script:
    """Treat one half of the sessions in one way and the other in the other."""

    async def script(peer: Peer) -> None:
        seed = int(peer.path.removeprefix("/"))
        await (first, second)[seed % 2](peer)

    return script


def accepting_and_closing(code: int) -> Script:
    """Close in one packet with the 101, or when the client has just opened."""
    return by_turns(closing(code, after=0), closing(code))


STORMS: dict[str, Script] = {
    "close 1000": accepting_and_closing(1000),
    "close 1001": accepting_and_closing(1001),
    "close 1011": accepting_and_closing(1011),
    "close 1012": accepting_and_closing(1012),
    "close 1013": accepting_and_closing(1013),
    "reset": by_turns(resetting(after=0), resetting()),
    "503": rejecting(503),
}


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Room for both ends of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * SEEDS
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(hard, wanted), hard)
    )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", STORMS)
async def test_a_hostile_server_is_dialled_at_the_pace_of_the_backoff(
    kind: str, many_sockets: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="resilient_ws")
    async with (
        assert_no_leaks(),
        ScriptedServer(STORMS[kind]) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        for seed in range(SEEDS):
            policy = resilient_ws.Reconnect(rng=random.Random(seed))
            session = resilient_ws.connect(
                f"{server.url()}/{seed}", reconnect=policy, wait_open=False
            )
            await stack.enter_async_context(session)
        began = now()
        await asyncio.sleep(WATCHED)
        dials = collections.Counter(
            path for when, path in server.requests if when - began <= WATCHED
        )
    counts = sorted(dials.values())
    assert len(counts) == SEEDS
    assert statistics.median(counts) <= 9
    assert counts[-1] <= 15
    # The pace is no excuse for not coming back at all.
    assert counts[0] >= 3
