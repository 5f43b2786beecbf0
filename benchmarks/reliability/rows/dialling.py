"""Dialling: given up in time, at a pace the server can bear, to where the server is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import ELSEWHERE, NAME, NAMES, PORT, SERVER, SIX
from benchmarks.reliability.situation import (
    BACK_WITHIN,
    FEED,
    GRACE,
    PATIENCE,
    USUAL,
    Outcome,
    situation,
    within,
)


if TYPE_CHECKING:
    from benchmarks.reliability.situation import Stage


_GIVEN_UP_WITHIN: Final = USUAL.open_timeout + GRACE
_CANCELLED_WITHIN: Final = 0.5
_GIVEN_UP: Final = (
    f"given up within {_GIVEN_UP_WITHIN:g} s; cancelled within {_CANCELLED_WITHIN:g} s"
)
_OWN_PACE: Final = Settings(default_backoff=True)
#: For as long the dials are counted.
_COUNTED_FOR: Final = 10.0
#: One a second, and the first.
_MAX_DIALS: Final = 11
_PACE: Final = (
    f"at most {_MAX_DIALS} dials in {_COUNTED_FOR:g} s, with default settings"
)
_OPEN_WITHIN: Final = 1.5
_RETRY_AFTER: Final = 4


async def _unanswered(stage: Stage) -> Outcome:
    """One client until it gives up a dial, another is cancelled in the midst of one."""
    dialling, cancelled = await stage.client(), await stage.client()
    since = dialling.said("ready")[0]["at"]
    await asyncio.sleep(1.0)
    ordered = time.monotonic()
    await cancelled.order("cancel")
    given_up, over = await asyncio.gather(
        dialling.after("failed", since, PATIENCE),
        cancelled.after("over", ordered, PATIENCE),
    )
    return Outcome(
        kept=within(given_up, _GIVEN_UP_WITHIN) and within(over, _CANCELLED_WITHIN),
        words="given up after {given_up}, cancelled in {over}",
        figures={"given_up": given_up, "over": over},
    )


@situation("Dial into a black hole (SYN dropped)", _GIVEN_UP)
async def syn_dropped(stage: Stage) -> Outcome:
    """Nobody answers the SYN."""
    await stage.network.drop("outbound")
    return await _unanswered(stage)


@situation("Dial to a server that accepts TCP and never answers", _GIVEN_UP)
async def never_answered(stage: Stage) -> Outcome:
    """The kernel of a frozen server accepts for it."""
    stage.server.freeze()
    return await _unanswered(stage)


@situation(
    "DNS gone for 5 s while the server restarts", f"back within {BACK_WITHIN:g} s of it"
)
async def dns_gone(stage: Stage) -> Outcome:
    """The name server does not answer; the server is up again at once."""
    await stage.name_server(SERVER)
    client = await stage.receiver(host=NAME)
    await stage.network.server.cut(f"ip daddr {NAMES} udp dport 53")
    since = time.monotonic()
    await stage.server.kill()
    await stage.server.start()
    await asyncio.sleep(since + 5.0 - time.monotonic())
    healed = time.monotonic()
    await stage.network.server.mend()
    back = await client.after("opened", since, 5.0 + PATIENCE)
    if back is not None and since + back < healed:
        words = "back {back} after the kill, from its cache"
    else:
        back = None if back is None else since + back - healed
        words = "back {back} after the name server"
    return Outcome(within(back, BACK_WITHIN), words, {"back": back})


@situation(
    "Server moved: another address in the DNS, the old one silent",
    f"back within {BACK_WITHIN:g} s",
)
async def dns_changed(stage: Stage) -> Outcome:
    """What a failover looks like to a client."""
    await stage.name_server(SERVER)
    client = await stage.receiver(host=NAME)
    server = stage.network.server
    await stage.network.address(server, ELSEWHERE)
    await stage.name_server(ELSEWHERE)
    await server.cut(f"ip daddr {SERVER} tcp dport {PORT}")
    moved = time.monotonic()
    await stage.server.kill()
    await stage.server.start()
    back = await client.after("opened", moved, PATIENCE)
    return Outcome(
        kept=within(back, BACK_WITHIN),
        words="back {back} after the move",
        figures={"back": back},
    )


@situation(
    "IPv6 silent, IPv4 healthy, the name has both", f"open within {_OPEN_WITHIN:g} s"
)
async def ipv6_broken(stage: Stage) -> Outcome:
    """Happy eyeballs (RFC 8305): the address that answers wins."""
    await stage.name_server(SERVER, f"{SIX}2")
    await stage.network.server.cut(f"meta nfproto ipv6 tcp dport {PORT}")
    client = await stage.client(FEED, host=NAME)
    since = client.said("ready")[0]["at"]
    opened = await client.after("opened", since, PATIENCE)
    return Outcome(
        within(opened, _OPEN_WITHIN), "open after {opened}", {"opened": opened}
    )


async def _pace(stage: Stage, path: str) -> Outcome:
    """Count the handshakes that the server sees."""
    client = await stage.client(path, _OWN_PACE)
    await asyncio.sleep(_COUNTED_FOR)
    dials = len(stage.server.said("open", "refuse"))
    over = client.said("over")
    words = "{dials:d} dials" + (", then the program ended" if over else "")
    return Outcome(
        kept=0 < dials <= _MAX_DIALS and not over,
        words=words,
        figures={"dials": dials},
    )


@situation("Server accepts and closes at once (1011)", _PACE)
async def accepts_and_closes(stage: Stage) -> Outcome:
    """A backend that is down behind a gateway that is up."""
    return await _pace(stage, "/accept-close?code=1011")


@situation("Server answers 503", _PACE, server="websockets")
async def unavailable(stage: Stage) -> Outcome:
    """A backend that is down, and a gateway that says so."""
    return await _pace(stage, "/refuse?status=503")


@situation(
    f"Server answers 429 with Retry-After: {_RETRY_AFTER}, once",
    f"not dialled again before, back within {BACK_WITHIN:g} s after",
    server="aiohttp",
)
async def retry_after(stage: Stage) -> Outcome:
    """A limit on dials: who dials before is kept out for longer."""
    client = await stage.client(
        f"/refuse?status=429&retry_after={_RETRY_AFTER}&times=1"
    )
    refused = await stage.server.until("refuse", within=PATIENCE)
    assert refused is not None
    again = await stage.server.until("open", within=_RETRY_AFTER + BACK_WITHIN)
    if again is None:
        ended = ", the program ended" if client.ended else ""
        return Outcome(kept=False, words=f"not dialled again{ended}")
    waited = again["at"] - refused["at"]
    return Outcome(
        kept=_RETRY_AFTER <= waited <= _RETRY_AFTER + BACK_WITHIN,
        words="dialled again after {waited}",
        figures={"waited": waited},
    )
