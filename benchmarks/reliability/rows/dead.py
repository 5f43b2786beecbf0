"""Links that die without a word: each must be noticed in time, and come back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.network import SERVER
from benchmarks.reliability.situation import (
    BACK_WITHIN,
    CLOSED_WITHIN,
    GRACE,
    NOTICED_WITHIN,
    PATIENCE,
    Outcome,
    situation,
    within,
)


if TYPE_CHECKING:
    from benchmarks.reliability.network import Direction
    from benchmarks.reliability.situation import Client, Stage


_NOTICED: Final = f"noticed within {NOTICED_WITHIN:g} s"
_BACK: Final = f"back within {BACK_WITHIN:g} s"
_BLACK_HOLE: Final = f"{_NOTICED}; `close()` done within {CLOSED_WITHIN:g} s"


def _outcome(
    client: Client,
    since: float,
    noticed: float | None,
    back: float | None,
    *,
    bound: float = NOTICED_WITHIN,
) -> Outcome:
    """Noticed in time, once, and not before there was anything to notice; and back."""
    early = client.drops() - client.drops(since)
    return Outcome(
        kept=within(noticed, bound) and within(back, BACK_WITHIN) and not early,
        words="noticed after {noticed}, back {back} later",
        figures={"noticed": noticed, "back": back},
        false_alarms=early,
    )


async def _black_hole(stage: Stage, direction: Direction) -> Outcome:
    watching, leaving = await stage.receiver(), await stage.receiver()
    since = time.monotonic()
    await stage.network.drop(direction)
    closed, noticed = await asyncio.gather(
        leaving.leave(), watching.after("dropped", since, PATIENCE)
    )
    early = watching.drops() - watching.drops(since)
    return Outcome(
        kept=within(noticed, NOTICED_WITHIN)
        and within(closed, CLOSED_WITHIN)
        and not early,
        words="noticed after {noticed}, closed in {closed}",
        figures={"noticed": noticed, "closed": closed},
        false_alarms=early,
    )


@situation("Black hole, inbound (nft)", _BLACK_HOLE)
async def black_hole_inbound(stage: Stage) -> Outcome:
    """What the server sends vanishes."""
    return await _black_hole(stage, "inbound")


@situation("Black hole, outbound (nft)", _BLACK_HOLE, server="websockets")
async def black_hole_outbound(stage: Stage) -> Outcome:
    """What the client sends vanishes; what the server sends no more is acknowledged."""
    return await _black_hole(stage, "outbound")


@situation("Black hole, both directions (nft)", _BLACK_HOLE)
async def black_hole_both(stage: Stage) -> Outcome:
    """Everything vanishes."""
    return await _black_hole(stage, "both")


@situation(
    "Server frozen (SIGSTOP), and running again", f"{_NOTICED}; then {_BACK} of it"
)
async def server_frozen(stage: Stage) -> Outcome:
    """The kernel of the server goes on to take bytes and connections."""
    client = await stage.receiver()
    since = time.monotonic()
    stage.server.freeze()
    noticed = await client.after("dropped", since, PATIENCE)
    thawed = time.monotonic()
    stage.server.thaw()
    back = await client.after("opened", thawed, PATIENCE)
    return _outcome(client, since, noticed, back)


@situation(
    "NAT entry expired (router without state, no RST)",
    f"{_NOTICED}; {_BACK} of that",
    routed=True,
)
async def nat_entry_expired(stage: Stage) -> Outcome:
    """A router drops what belongs to nothing it knows, and translates what is new."""
    client = await stage.receiver()
    since = time.monotonic()
    await stage.network.forget_connections()
    noticed = await client.after("dropped", since, PATIENCE)
    back = await client.after("opened", since + (noticed or 0.0), PATIENCE)
    return _outcome(client, since, noticed, back)


@situation(
    "Socket destroyed by the system (`ss -K`)", f"noticed within 1 s; {_BACK} of that"
)
async def socket_destroyed(stage: Stage) -> Outcome:
    """The kernel ends the client's socket, as a VPN's or a phone's does."""
    client = await stage.receiver()
    since = time.monotonic()
    await stage.network.client.run("ss", "-K", "dst", SERVER)
    noticed = await client.after("dropped", since, PATIENCE)
    back = await client.after("opened", since + (noticed or 0.0), PATIENCE)
    return _outcome(client, since, noticed, back, bound=GRACE)


@situation(
    "Interface down for 8 s (`ip link`)", f"{_NOTICED}; {_BACK} of the interface"
)
async def link_down_long(stage: Stage) -> Outcome:
    """Longer than both timeouts; dialling fails at once while it is down."""
    client = await stage.receiver()
    since = time.monotonic()
    await stage.network.client.ip("link set wire0 down")
    noticed = await client.after("dropped", since, NOTICED_WITHIN + GRACE)
    await asyncio.sleep(since + 8.0 - time.monotonic())
    risen = time.monotonic()
    await stage.network.client.ip("link set wire0 up")
    back = await client.after("opened", risen, PATIENCE)
    return _outcome(client, since, noticed, back)


@situation(
    "Server killed (`kill -9`), back after 2 s",
    f"noticed within 1 s; {_BACK} of the server",
    server="websockets",
)
async def server_killed(stage: Stage) -> Outcome:
    """The kernel of the server says goodbye for it."""
    client = await stage.receiver()
    since = time.monotonic()
    await stage.server.kill()
    noticed = await client.after("dropped", since, PATIENCE)
    await asyncio.sleep(2.0)
    await stage.server.start()
    risen = time.monotonic()
    opened = await client.after("opened", since, PATIENCE)
    # The client may have been faster than the news that the server is up.
    back = None if opened is None else max(0.0, since + opened - risen)
    return _outcome(client, since, noticed, back, bound=GRACE)
