"""The server's habits: pongs, its own pings, and how long it bears silence."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from typing import TYPE_CHECKING, Final

from resilient_ws import ConnectionLost, Liveness, ResilientWSError
from resilient_ws.cli.probe.endings import ended_early, lost, phrase, seconds
from resilient_ws.cli.probe.finding import Finding, Grade
from resilient_ws.cli.probe.link import ProbedLink
from resilient_ws.cli.probe.reach import milliseconds


if TYPE_CHECKING:
    from resilient_ws.cli.probe.finding import Found, SuitableSettings
    from resilient_ws.cli.server_options import ServerOptions

_PINGS: Final = 3
#: Seconds between two pings, and the longest wait for a pong.
_BETWEEN: Final = 0.2
_LONGEST_WAIT: Final = 5.0
#: Pings that are sent at once, and messages before a ping.
_BURST: Final = 10
_MESSAGES: Final = 50
#: A link that closes within this time after opening does not mind silence.
_AT_ONCE: Final = 1.0
#: Beyond this, pings are not tried as a remedy for silence: it would take too long.
_LONGEST_TRIAL: Final = 20.0
#: The share of the server's patience after which a ping is due.
_SHARE: Final = 3
_DEFAULT_PING: Final = 20.0


async def time_pings(
    link: ProbedLink, settings: SuitableSettings, found: Found
) -> bool:
    """Ping a few times; return whether the server answers."""
    times: list[float] = []
    for number in range(_PINGS):
        if number:
            await asyncio.sleep(_BETWEEN)
        try:
            times.append(await link.session.ping(timeout=_LONGEST_WAIT))
        except TimeoutError:
            break
        except ResilientWSError:
            return False
    if not times:
        text = f"the server never answers pings (waited {_LONGEST_WAIT:g} s)"
        remedy = (
            "Do not wait for pongs (--ping 0, ping_timeout=None). Notice a dead link "
            "by its silence (--idle SECONDS), or ping with a message of the service's "
            "own (Liveness.probe)."
        )
        found(Finding("Pings", Grade.NOTE, text, remedy))
        settings.ping_timeout = False
        settings.reasons.append("It never answers pings.")
        return False
    if len(times) < _PINGS:
        text = f"{_PINGS - len(times)} of {_PINGS} pings were not answered"
        found(Finding("Pings", Grade.NOTE, text, "The link may lose packets."))
        return True
    low, high = milliseconds(min(times)), milliseconds(max(times))
    spread = low if low == high else f"{low} to {high}"
    found(Finding("Pings", Grade.OK, f"answered in {spread} ({_PINGS} pings)"))
    return True


async def ping_in_a_burst(link: ProbedLink, found: Found) -> None:
    """Send pings at once, to see which of them are answered."""
    before = len(link.received("pong"))
    pings = [link.session.ping(timeout=_LONGEST_WAIT) for _ in range(_BURST)]
    if any(
        isinstance(result, BaseException)
        for result in await asyncio.gather(*pings, return_exceptions=True)
    ):
        text = f"{_BURST} pings at once were not all answered"
        found(Finding("Burst", Grade.NOTE, text))
        return
    # Pongs behind the newest one, if the server sends them in another order.
    await asyncio.sleep(0)
    count = len(link.received("pong")) - before
    which = "each" if count >= _BURST else f"{count}"
    found(Finding("Burst", Grade.OK, f"of {_BURST} pings at once it answers {which}"))


async def ping_while_busy(
    link: ProbedLink, message: str, settings: SuitableSettings, found: Found
) -> None:
    """Send messages, and a ping behind them: is it answered while the server works?"""
    loop = asyncio.get_running_loop()
    try:
        for _ in range(_MESSAGES):
            await link.session.send(message)
        began = loop.time()
        await link.session.ping(timeout=_LONGEST_WAIT * 2)
        took = loop.time() - began
    except TimeoutError:
        text = f"no pong within {_LONGEST_WAIT * 2:g} s behind {_MESSAGES} messages"
        remedy = "It answers pings only when it has done its work: --ping 60 or more."
        found(Finding("While busy", Grade.NOTE, text, remedy))
        settings.ping = 60.0
        settings.reasons.append("It answers pings late while it works.")
    except ResilientWSError:
        text = f"the server ended the connection on {_MESSAGES} of these messages"
        found(Finding("While busy", Grade.NOTE, text, "Check --message."))
    else:
        text = f"a ping behind {_MESSAGES} messages is answered in {milliseconds(took)}"
        found(Finding("While busy", Grade.OK, text))


async def watch_idle(
    link: ProbedLink,
    options: ServerOptions,
    settings: SuitableSettings,
    found: Found,
    *,
    watch: float,
    within: float,
) -> None:
    """Send nothing for a while, and see what the server does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended = await link.ended_within(watch)
    watched = loop.time() - began
    _tell_messages(link, began, watched, settings, found)
    _tell_pings(link, found)
    if not ended:
        text = f"an idle link stays open for {seconds(watched)} and more"
        if link.received("text", "binary", "ping", since=began):
            text = f"the link stayed open for {seconds(watched)}; it was never idle"
        found(Finding("Silence", Grade.OK, text))
        return
    early = None if link.dropped is None else ended_early(link.dropped)
    if early is not None:
        found(early)
        return
    silent = link.dropped_at - link.last_heard()
    if silent < _AT_ONCE:
        how = "" if link.dropped is None else f" {_how(link)}"
        text = f"the server ended the connection{how} after {seconds(watched)}"
        remedy = "It may want a login or a subscription: --on-open, --header."
        found(Finding("Silence", Grade.BAD, text, remedy))
        return
    await _bears_silence(silent, _how(link), options, settings, found, within=within)


async def _bears_silence(
    silent: float,
    how: str,
    options: ServerOptions,
    settings: SuitableSettings,
    found: Found,
    *,
    within: float,
) -> None:
    """Say that silence ended the link, and see whether pings help."""
    every = max(0.1, round(silent / _SHARE, 1 if silent < _LONGEST_TRIAL else 0))
    text = f"an idle link is closed after {seconds(silent)}, {how}"
    if silent > _LONGEST_TRIAL:
        every = min(every, _DEFAULT_PING)
        remedy = f"Ping more often: --ping {every:g}"
        found(Finding("Silence", Grade.NOTE, text, remedy))
    elif await _lives_on_pings(silent, every, options, within=within):
        remedy = f"Pings keep it open, as was tried: --ping {every:g}"
        found(Finding("Silence", Grade.NOTE, text, remedy))
    else:
        remedy = (
            "Pings do not keep it open, as was tried: send a message of the service's "
            "own in time (Liveness.probe)."
        )
        found(Finding("Silence", Grade.BAD, text, remedy))
        settings.reasons.append("It wants messages, and pings are none.")
        return
    settings.ping = every
    settings.reasons.append(f"It closes a link that is idle for {seconds(silent)}.")


async def _lives_on_pings(
    silent: float, every: float, options: ServerOptions, *, within: float
) -> bool:
    """Whether a connection that pings outlives the silence that ended the other."""
    liveness = Liveness(ping_interval=every, ping_timeout=None)
    try:
        async with ProbedLink(options, within=within, liveness=liveness) as link:
            return not await link.ended_within(silent * 2 + 1)
    except ConnectionLost:
        return False


def _how(link: ProbedLink) -> str:
    dropped = link.dropped
    if dropped is None:
        return "in the normal way"
    if dropped.close is not None and dropped.close.received is not None:
        return f"with {phrase(dropped.close)}"
    return lost(dropped.because)


def _tell_messages(
    link: ProbedLink,
    began: float,
    watched: float,
    settings: SuitableSettings,
    found: Found,
) -> None:
    messages = link.received("text", "binary", since=began)
    total = len(link.received("text", "binary"))
    if not messages:
        text = f"none in {seconds(watched)}"
        text += f", after {total} at first" if total else " unasked"
        found(Finding("Messages", Grade.OK, text))
        return
    rate = len(messages) / max(watched, 0.001)
    longest = _longest_gap([one.at for one in messages])
    text = f"{rate:.1f} a second"
    if longest is not None:
        text += f", {seconds(longest)} apart at the most"
        # A feed that never pauses is dead when it does.
        if len(messages) >= _MESSAGES:
            settings.idle = max(5.0, round(longest * 10))
            settings.reasons.append("Its messages never pause for long.")
    found(Finding("Messages", Grade.OK, text))


def _tell_pings(link: ProbedLink, found: Found) -> None:
    times = [one.at for one in link.received("ping")]
    if not times:
        found(Finding("Its pings", Grade.OK, "the server sends none"))
        return
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    first = times[0] - link.opened_at
    when = f"after {seconds(first)}" if first >= _AT_ONCE else "at once"
    every = f", then every {seconds(statistics.median(gaps))}" if gaps else ""
    text = f"the server pings {when}{every}; the session answers"
    found(Finding("Its pings", Grade.OK, text))


def _longest_gap(times: list[float]) -> float | None:
    return max(
        (later - earlier for earlier, later in itertools.pairwise(times)), default=None
    )
