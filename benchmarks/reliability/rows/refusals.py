"""Servers that let nobody in: not yet, not for long, or not with that token.

A dial is a request that a server logged. Of one play, the pauses between its dials are
told by the shortest and the longest.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import urllib.parse
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import PORT
from benchmarks.reliability.situation import (
    BACK_WITHIN,
    GRACE,
    PATIENCE,
    USUAL,
    Outcome,
    situation,
)


if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.reliability.situation import Client, Stage


_OWN_PACE: Final = Settings(default_backoff=True)
#: For as long the dials are counted.
_COUNTED_FOR: Final = 10.0
#: One a second, and the first.
_MAX_DIALS: Final = 11
_PACE: Final = (
    f"at most {_MAX_DIALS} dials in {_COUNTED_FOR:g} s, with default settings"
)

_LATER: Final = 4
_ABSURD: Final = 3_000_000_000_000
#: What is nearer together is no pause, in seconds.
_APART: Final = 0.1
_TIMES: Final = 3
#: The pauses of the settings, the longest each time.
_HEALED_WITHIN: Final = _TIMES * 2.0 + GRACE

#: Once with the token there was, once with a fresh one; a second doubt is allowed.
_MAX_TRIES: Final = 3


def _path(path: str, **query: object) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}"


def _dials(stage: Stage) -> list[float]:
    """When each request came to the server."""
    return [line["at"] for line in stage.server.said("request")]


def _pauses(dials: Sequence[float]) -> dict[str, float | None]:
    """The figures of a play: how many dials, and the pauses between them."""
    pauses = [after - before for before, after in itertools.pairwise(dials)]
    return {
        "dials": len(dials),
        "shortest": min(pauses, default=None),
        "longest": max(pauses, default=None),
    }


def _told(dials: Sequence[float]) -> str:
    match len(dials):
        case 0:
            return "no dials"
        case 1:
            return "1 dial"
        case 2:
            return "2 dials, {longest} apart"
        case _:
            return "{dials:d} dials, {shortest} apart or more, up to {longest}"


def _broken(words: str, dials: Sequence[float]) -> Outcome:
    return Outcome(kept=False, words=words, figures=_pauses(dials))


# Closed as soon as it is open


async def _pace(stage: Stage, path: str) -> Outcome:
    """Count the dials of some seconds, and see whether the client holds on."""
    client = await stage.client(path, _OWN_PACE)
    await asyncio.sleep(_COUNTED_FOR)
    dials = _dials(stage)
    over = client.said("over")
    return Outcome(
        kept=0 < len(dials) <= _MAX_DIALS and not over,
        words=_told(dials) + (", then the program ended" if over else ""),
        figures=_pauses(dials),
    )


@situation("Server accepts and closes at once (1000)", _PACE)
async def closes_normally(stage: Stage) -> Outcome:
    """A close that sounds friendly, again and again."""
    return await _pace(stage, "/accept-close?code=1000")


@situation("Server accepts and closes at once (1008)", _PACE)
async def closes_for_policy(stage: Stage) -> Outcome:
    """A server that does not like the client, and says so after the handshake."""
    return await _pace(stage, "/accept-close?code=1008")


@situation("Server accepts and closes at once (1013)", _PACE)
async def closes_for_later(stage: Stage) -> Outcome:
    """A server that is overloaded: try again later."""
    return await _pace(stage, "/accept-close?code=1013")


@situation(
    "Server redirects to itself, for ever",
    _PACE,
    server="aiohttp",
)
async def redirect_loop(stage: Stage) -> Outcome:
    """Each hop of each attempt counts: the server pays for each."""
    client = await stage.client("/refuse?status=302&location=self", _OWN_PACE)
    await asyncio.sleep(_COUNTED_FOR)
    dials = _dials(stage)
    over = client.said("over")
    return Outcome(
        kept=0 < len(dials) <= _MAX_DIALS,
        words=_told(dials) + (", final" if over else ""),
        figures=_pauses(dials),
    )


# 429, and when to come back


async def _refused_once(
    stage: Stage, settings: Settings = USUAL, **header: object
) -> Outcome:
    """Refuse one dial with 429: the next is due after the pause, and not before."""
    path = _path("/refuse", status=429, times=1, **header)
    client = await stage.client(path, settings)
    again = await stage.server.until("open", within=_LATER + BACK_WITHIN + PATIENCE)
    if again is None:
        ended = ", the program ended" if client.said("over") else ""
        return Outcome(kept=False, words=f"not dialled again{ended}")
    waited = again["at"] - stage.server.said("refuse")[0]["at"]
    return Outcome(
        kept=_LATER <= waited <= _LATER + BACK_WITHIN,
        words="dialled again after {waited}",
        figures={"waited": waited},
    )


@situation(
    f"Server answers 429 with Retry-After: a date {_LATER} s ahead, once",
    f"not dialled again before, back within {BACK_WITHIN:g} s after",
    server="aiohttp",
)
async def retry_after_date(stage: Stage) -> Outcome:
    """The other of the two forms that RFC 9110 has."""
    return await _refused_once(stage, retry_date=_LATER)


@situation(
    f"Server answers 429 with Retry-After: {_ABSURD}, once",
    f"believed up to a cap ({_LATER} s, set), back within {BACK_WITHIN:g} s after",
    server="aiohttp",
)
async def retry_after_absurd(stage: Stage) -> Outcome:
    """A hundred thousand years."""
    settings = Settings(retry_after_cap=_LATER)
    return await _refused_once(stage, settings, retry_after=_ABSURD)


async def _refused_with(stage: Stage, header: str) -> Outcome:
    """Refuse some dials with a header that says nothing: the usual pauses are due."""
    path = _path("/refuse", status=429, retry_after=header, times=_TIMES)
    client = await stage.client(path)
    opened = await client.until("opened", "over", within=_HEALED_WITHIN + PATIENCE)
    dials = _dials(stage)
    if opened is None or opened["event"] == "over":
        words = "the program ended" if opened else "not open"
        return _broken(f"{_told(dials)}, then {words}", dials)
    took = opened["at"] - dials[0]
    apart = all(y - x >= _APART for x, y in itertools.pairwise(dials))
    return Outcome(
        kept=apart and took <= _HEALED_WITHIN,
        words=f"{_told(dials)}; open after {{took}}",
        figures={**_pauses(dials), "took": took},
    )


_MEANINGLESS: Final = (
    f"open within {_HEALED_WITHIN:g} s, no two dials within {_APART:g} s"
)


@situation(
    f"Server answers 429 with Retry-After: -5, {_TIMES} times",
    _MEANINGLESS,
    server="aiohttp",
)
async def retry_after_negative(stage: Stage) -> Outcome:
    """A server whose clock, or whose arithmetic, is wrong."""
    return await _refused_with(stage, "-5")


@situation(
    f"Server answers 429 with Retry-After: soon, {_TIMES} times",
    _MEANINGLESS,
    server="aiohttp",
)
async def retry_after_malformed(stage: Stage) -> Outcome:
    """Neither seconds nor a date."""
    return await _refused_with(stage, "soon")


# 401


@situation(
    "Server answers 401 to the old token, a fresh one is good",
    f"open within {BACK_WITHIN:g} s, at most {_MAX_TRIES} dials",
    server="aiohttp",
)
async def token_renewed(stage: Stage) -> Outcome:
    """The first token is a stale one; whoever asks again gets one that is good."""
    path = _path("/refuse", status=401, unless="Bearer 2")
    client = await stage.client(path, Settings(credentials="fresh"))
    since = client.said("ready")[0]["at"]
    end = await client.until("opened", "over", within=PATIENCE)
    dials = _dials(stage)
    if end is None or end["event"] == "over":
        return _broken(f"{_told(dials)}, then the program ended", dials)
    opened = end["at"] - since
    return Outcome(
        kept=opened <= BACK_WITHIN and len(dials) <= _MAX_TRIES,
        words=f"{_told(dials)}; open after {{opened}}",
        figures={**_pauses(dials), "opened": opened},
    )


async def _final(stage: Stage, client: Client, since: float) -> Outcome:
    """Count the refusals until the client gives up for good, with an error."""
    over = await client.until("over", since=since, within=_COUNTED_FOR)
    dials = [line["at"] for line in stage.server.said("refuse")]
    if over is None:
        return _broken(f"{_told(dials)}, and so on", dials)
    return Outcome(
        kept=over["because"] != "closed" and 0 < len(dials) <= _MAX_TRIES,
        words=f"{_told(dials)}, final after {{over}}",
        figures={**_pauses(dials), "over": over["at"] - since},
    )


#: Seconds for which a refusal has to stand after the link was open.
_STANDS: Final = 1.0
_GIVEN_UP: Final = (
    f"final after at most {_MAX_TRIES} dials, within {_COUNTED_FOR:g} s, with an error"
)


@situation("Server answers 401 to every token", _GIVEN_UP, server="aiohttp")
async def token_refused(stage: Stage) -> Outcome:
    """The account is closed: dialling on gets an address banned."""
    client = await stage.client(
        _path("/refuse", status=401), Settings(credentials="fresh")
    )
    return await _final(stage, client, client.said("ready")[0]["at"])


@situation(
    "Link lost, and from then on 401 to every token",
    f"{_GIVEN_UP}, where that is to stand for {_STANDS:g} s",
    server="aiohttp",
)
async def token_revoked(stage: Stage) -> Outcome:
    """The token was good for the first dial; none is any more.

    A session that was open believes that only when it has stood for a while.
    """
    client = await stage.client(
        _path("/refuse", status=401, spared=1),
        Settings(credentials="fresh", fatal_after=_STANDS),
    )
    await client.until("opened", within=PATIENCE)
    cut = time.monotonic()
    await stage.network.client.run("ss", "-K", "dport", "=", str(PORT))
    return await _final(stage, client, cut)
