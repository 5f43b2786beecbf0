"""What a user's callback may do, and who may close: link alive, messages, a clean end.

An end is clean when the program is over in time and without an error, its process ends
by itself, and nobody complains of a task that was forgotten.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.situation import (
    BACK_WITHIN,
    CLIENTS,
    CLOSED_WITHIN,
    NOTICED_WITHIN,
    PATIENCE,
    US,
    Outcome,
    situation,
    within,
)


if TYPE_CHECKING:
    from benchmarks.reliability.situation import Client, Stage


_PEERS: Final = [library for library in CLIENTS if library != US]
_NO_EVENTS: Final = dict.fromkeys(
    _PEERS, "it calls nobody back when a connection opens, or is lost"
)
_NO_HOOK: Final = dict.fromkeys(_PEERS, "it has no hook that restores a connection")
_LIVES_ON: Final = (
    f"no drop; after a restart of the server messages again within {BACK_WITHIN:g} s;"
    f" closed within {CLOSED_WITHIN:g} s, cleanly"
)
_ENDS: Final = f"over within {CLOSED_WITHIN:g} s, cleanly, the server told 1000"
_COMPLAINTS: Final = ("was destroyed", "never retrieved", "never awaited")


async def _ended_cleanly(client: Client) -> bool:
    """Whether it was over without an error, and nothing kept the process."""
    # None comes: it is the end that is waited for.
    await client.until("another event", within=PATIENCE)
    over = client.said("over")
    return (
        client.ended
        and [line["because"] for line in over] == ["closed"]
        and not any(word in client.complaint for word in _COMPLAINTS)
    )


async def _lives_on(stage: Stage, client: Client) -> Outcome:
    """Watch the link after the callback; lose it, see it come back, and close."""
    if not await client.until("called back", within=PATIENCE):
        raise RuntimeError(f"nobody was called back: {client.lines}")
    await asyncio.sleep(NOTICED_WITHIN)
    drops = client.drops()
    cut = time.monotonic()
    flowed = bool(client.said("messages", since=cut - 1.0))
    await stage.server.kill()
    await stage.server.start()
    [*_, restarted] = stage.server.said("ready")
    back = await client.after("messages", restarted["at"], PATIENCE)
    closed = await client.leave()
    clean = await _ended_cleanly(client)
    kept = flowed and not drops and within(back, BACK_WITHIN)
    return Outcome(
        kept=kept and within(closed, CLOSED_WITHIN) and clean,
        words=(
            f"link {'lost' if drops else 'kept'}, messages"
            f" {'went on' if flowed else '**stopped**'}, again {{back}} after the"
            f" restart; closed in {{closed}}, {'cleanly' if clean else 'not cleanly'}"
        ),
        figures={"back": back, "closed": closed},
        false_alarms=drops,
    )


def _and(outcome: Outcome, words: str, *, kept: bool) -> Outcome:
    """The same, and something else that was to be."""
    return Outcome(
        kept=outcome.kept and kept,
        words=f"{words}; {outcome.words}",
        figures=outcome.figures,
        false_alarms=outcome.false_alarms,
    )


@situation("A callback that raises", f"reported; {_LIVES_ON}", without=_NO_EVENTS)
async def raises(stage: Stage) -> Outcome:
    """A bug of the user's: it costs the session nothing, and is heard of."""
    client = await stage.receiver(settings=Settings(callback="raises"))
    outcome = await _lives_on(stage, client)
    calls, reports = (
        len(client.said(event)) for event in ("called back", "handler failed")
    )
    return _and(outcome, f"{reports} of {calls} reported", kept=reports == calls)


@situation("A callback that never returns", _LIVES_ON, without=_NO_EVENTS)
async def never_returns(stage: Stage) -> Outcome:
    """Callbacks after it wait; the link does not."""
    client = await stage.receiver(settings=Settings(callback="never returns"))
    return await _lives_on(stage, client)


@situation(
    "A callback that sends, for each connection",
    f"each arrives once; {_LIVES_ON}",
    without=_NO_EVENTS,
)
async def sends(stage: Stage) -> Outcome:
    """Such as a greeting."""
    client = await stage.receiver(settings=Settings(callback="sends"))
    outcome = await _lives_on(stage, client)
    sent, arrived = len(client.said("called back")), len(stage.server.said("message"))
    return _and(outcome, f"{arrived} of {sent} arrived", kept=sent == arrived)


async def _ends(stage: Stage, client: Client, since: float) -> Outcome:
    over = await client.after("over", since, PATIENCE)
    clean = await _ended_cleanly(client)
    told = await stage.server.until("close", within=PATIENCE)
    code = None if told is None else told["code"]
    return Outcome(
        kept=within(over, CLOSED_WITHIN) and clean and code == 1000,
        words=(
            f"over in {{over}}, {'cleanly' if clean else 'not cleanly'}, the server"
            f" told {code}"
        ),
        figures={"over": over},
    )


async def _ends_by_itself(stage: Stage, settings: Settings) -> Outcome:
    client = await stage.client(settings=settings)
    opened = await stage.server.until("open", within=PATIENCE)
    if opened is None:
        raise RuntimeError(f"never open: {client.lines} {client.complaint}")
    return await _ends(stage, client, opened["at"])


@situation("A callback that calls `session.close()`", _ENDS, without=_NO_EVENTS)
async def closes(stage: Stage) -> Outcome:
    """From a task of the session's own, which the close must not wait for."""
    return await _ends_by_itself(stage, Settings(callback="closes"))


@situation("`close()` inside `on_open`", _ENDS, without=_NO_HOOK)
async def closes_in_on_open(stage: Stage) -> Outcome:
    """Before the connection is open, and before entering the session has returned."""
    return await _ends_by_itself(stage, Settings(callback="closes in on_open"))


@situation("`close()` from two tasks at once", f"both return; {_ENDS}")
async def closes_twice(stage: Stage) -> Outcome:
    """A signal's handler, and the end of the program's own."""
    client = await stage.receiver()
    since = time.monotonic()
    await client.order("close")
    await client.order("close")
    outcome = await _ends(stage, client, since)
    returned, failed = len(client.said("closed")), len(client.said("close failed"))
    words = f"{returned - failed} of 2 returned"
    return _and(outcome, words, kept=returned == 2 and not failed)
