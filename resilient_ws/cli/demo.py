"""``resilient-ws demo``: a session, a server that is mistreated, and the summary.

Rules: the server is a process of its own on this machine. The figures in the summary
come only from the server's log and from the session.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final, cast

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    Event,
    FullJitter,
    Liveness,
    Reconnect,
    RetryScheduled,
    Session,
    State,
    Timeouts,
    connect,
)
from resilient_ws.cli.feed import DemoFailed, FeedProcess
from resilient_ws.cli.ledger import Ledger
from resilient_ws.cli.report import judge
from resilient_ws.cli.scenario import SCENARIO, Step
from resilient_ws.cli.screen import Screen
from resilient_ws.cli.standard import complain, on_ending_signals
from resilient_ws.cli.words import in_words


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resilient_ws.cli.report import Report

KEPT, BROKEN, INTERRUPTED = 0, 1, 130

#: Quick, to be watched; a device would use the defaults.
LIVENESS: Final = Liveness(ping_interval=0.4, ping_timeout=0.6)
WAIT: Final = FullJitter(initial=0.3, maximum=0.6)
RECONNECT: Final = Reconnect(wait=WAIT, stable_after=0.5)
TIMEOUTS: Final = Timeouts(open=1.0, close=2.0)
#: Seconds between two messages that the session sends.
PERIOD: Final = 0.05
#: Seconds of peace before the first step and after each.
CALM: Final = 0.8
#: Seconds that the session has to come back, and the last messages to arrive.
PATIENCE: Final = 10.0

_STYLES: Final[Mapping[type[Event], str]] = {
    ConnectionOpened: "green",
    ConnectionDropped: "red",
    AttemptFailed: "red",
    RetryScheduled: "dim",
}


def run() -> int:
    """Run the demo, and return the exit code."""
    screen = Screen()
    if not hasattr(signal, "SIGSTOP"):
        complain("The demo needs signals that Windows does not have.")
        return BROKEN
    # The screen already shows what the log would say.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    failure: BaseException | None = None
    try:
        return asyncio.run(_interruptible(screen))
    except DemoFailed as failed:
        failure = failed
    except BaseExceptionGroup as group:
        failure = _first_of(group)
    if not isinstance(failure, DemoFailed):
        # Most likely stdout failed. The caller reports that for every command.
        raise failure
    complain(str(failure))
    return BROKEN


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of the demo's tasks."""
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _first_of(cast("BaseExceptionGroup[BaseException]", first))
    return first


async def _interruptible(screen: Screen) -> int:
    """Play the demo, and end it cleanly on a signal."""
    playing = asyncio.create_task(play(screen, SCENARIO))
    on_ending_signals(playing.cancel)
    await asyncio.wait({playing})
    return INTERRUPTED if playing.cancelled() else playing.result()


async def play(screen: Screen, scenario: Sequence[Step]) -> int:
    """Play the scenario, show the summary, and return the exit code."""
    ledger = Ledger()
    idle, answer = LIVENESS.ping_interval, LIVENESS.ping_timeout
    async with FeedProcess() as feed:
        screen.title(
            f"A session with {feed.url}, numbers both ways.",
            (
                "The server is another process, and will be treated badly.",
                f"The session is set to be quick: a ping after {idle} s of silence,",
                f"{answer} s for its answer, {WAIT.maximum} s at most between dials.",
            ),
        )
        session = _make_session(feed, ledger, screen)
        with screen.live():
            await _hold(session, feed, ledger, screen, scenario)
    report = judge(ledger.evidence(feed.log))
    screen.summary(ledger.outages, report, len(ledger.unconfirmed))
    return verdict(report)


def verdict(report: Report) -> int:
    """Return the exit code: whether the session kept its word."""
    return KEPT if report.holds else BROKEN


def _make_session(feed: FeedProcess, ledger: Ledger, screen: Screen) -> Session:
    session = connect(
        feed.url,
        headers=ledger.headers,
        on_open=ledger.on_open,
        liveness=LIVENESS,
        reconnect=RECONNECT,
        timeouts=TIMEOUTS,
    )

    def show(event: Event) -> None:
        line = in_words(event)
        if line is not None:
            screen.event(line, _STYLES.get(type(event), ""))

    session.on(ConnectionDropped, ledger.dropped)
    session.on(ConnectionOpened, ledger.opened)
    session.on(RetryScheduled, ledger.scheduled)
    session.on(Event, show)
    return session


async def _hold(
    session: Session,
    feed: FeedProcess,
    ledger: Ledger,
    screen: Screen,
    scenario: Sequence[Step],
) -> None:
    """Hold the session through the scenario, both ways busy."""
    async with session, asyncio.TaskGroup() as group:
        receiving = group.create_task(ledger.receive(session))
        sending = group.create_task(ledger.send(session, PERIOD))
        watching = group.create_task(_watch(session, feed, ledger, screen))
        await asyncio.sleep(CALM)
        for step in scenario:
            await _take(step, session, feed, ledger, screen)
        sending.cancel()
        await _settle(feed, ledger)
        await session.close()
        await receiving
        watching.cancel()


async def _take(
    step: Step, session: Session, feed: FeedProcess, ledger: Ledger, screen: Screen
) -> None:
    """Take one step, and wait until the session is back from it."""
    screen.deed(step.story)
    ledger.begin(step.name)
    await step.act(feed)
    ledger.cured()
    screen.event("the server is ready", "dim")
    try:
        async with asyncio.timeout(PATIENCE):
            await ledger.back.wait()
            await session.wait_until(State.OPEN)
    except TimeoutError:
        msg = (
            f"The session was not back {PATIENCE:g} s after the server was {step.name}."
        )
        raise DemoFailed(msg) from None
    await asyncio.sleep(CALM)


async def _settle(feed: FeedProcess, ledger: Ledger) -> None:
    """Let the last messages arrive: what is missing then is missing for good."""
    await feed.tell("quiet")
    await feed.until(lambda: bool(feed.entries("quiet")), PATIENCE)
    last_down = feed.entries("quiet")[-1]["next"] - 1
    last_up = max(ledger.deliveries, default=0)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        seen = (entry["number"] for entry in reversed(feed.entries("received")))
        if last_down in ledger.stream and last_up in seen:
            return
        await asyncio.sleep(PERIOD)


def _wait_of(session: Session, ledger: Ledger) -> str:
    """Return how long it is to the next attempt, and which one that is."""
    if session.state is not State.BACKOFF:
        return "-"
    return f"#{ledger.attempt} in {ledger.until_retry():.1f} s"


async def _watch(
    session: Session, feed: FeedProcess, ledger: Ledger, screen: Screen
) -> None:
    """Keep the figures of the panel fresh."""
    while True:
        latency, statistics = session.latency, session.statistics()
        delivered = {entry["number"] for entry in feed.entries("received")}
        screen.figures.update(
            {
                "state": session.state.value,
                "next dial": _wait_of(session, ledger),
                "latency": "-" if latency is None else f"{latency * 1000:.1f} ms",
                "connection": str(session.epoch),
                "attempts": str(statistics.attempts),
                "queued": str(statistics.outbox_messages),
                "received": str(ledger.received),
                "sent": str(len(ledger.deliveries)),
                "delivered": str(len(delivered)),
            }
        )
        await asyncio.sleep(1 / 8)
