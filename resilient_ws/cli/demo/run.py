"""Run the demo: play the scenario, show it, and judge whether anything was lost.

Rules: The server is a process of its own on this machine. The figures of the summary
come only from the server's log and from the session.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    Event,
    RetryScheduled,
)
from resilient_ws.cli.demo.client import LIVENESS, WAIT, DemoClient
from resilient_ws.cli.demo.report import judge
from resilient_ws.cli.demo.scenario import SCENARIO, Scene
from resilient_ws.cli.demo.screen import DemoScreen
from resilient_ws.cli.demo.server_process import DemoFailed, ServerProcess
from resilient_ws.cli.event_text import event_text
from resilient_ws.cli.exit_codes import DONE, FAILED, INTERRUPTED
from resilient_ws.cli.signals import on_ending_signals
from resilient_ws.cli.stdio import complain
from resilient_ws.cli.version_text import version_text


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resilient_ws.cli.demo.report import Report

#: Seconds of peace before the first step and after each.
_CALM: Final = 0.8
#: Seconds that the session has to come back, and the last messages to arrive.
_PATIENCE: Final = 10.0
#: Seconds between two checks whether the last messages have arrived.
_CHECK_INTERVAL: Final = 0.05
#: Seconds between two changes of the panel.
_REFRESH_INTERVAL: Final = 1 / 8

_STYLES: Final[Mapping[type[Event], str]] = {
    ConnectionOpened: "green",
    ConnectionDropped: "red",
    AttemptFailed: "red",
    RetryScheduled: "dim",
}


def run() -> int:
    """Run the demo, and return the exit code."""
    screen = DemoScreen()
    if not hasattr(signal, "SIGSTOP"):
        complain("The demo needs signals that Windows does not have.")
        return FAILED
    # The screen already shows what the log would say.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    try:
        return asyncio.run(_interruptible(screen))
    except (DemoFailed, BaseExceptionGroup) as error:
        failure = _first_of(error)
        if not isinstance(failure, DemoFailed):
            # Most likely stdout failed. The caller reports that for every command.
            raise failure from None
        complain(str(failure))
        return FAILED


def _first_of(error: BaseException) -> BaseException:
    """Return the first error of the demo's tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


async def _interruptible(screen: DemoScreen) -> int:
    """Play the demo, and end it cleanly on a signal."""
    playing = asyncio.create_task(play(screen, SCENARIO))
    on_ending_signals(playing.cancel)
    await asyncio.wait({playing})
    return INTERRUPTED if playing.cancelled() else playing.result()


async def play(screen: DemoScreen, scenario: Sequence[Scene]) -> int:
    """Play the scenario, show the summary, and return the exit code."""
    idle, answer = LIVENESS.ping_interval, LIVENESS.ping_timeout
    async with ServerProcess() as server:
        screen.title(
            f"A session with {server.url}, numbers both ways.",
            (
                f"This is {version_text()}.",
                "The server is another process, and will be treated badly.",
                f"The session is set to be quick: a ping after {idle} s of silence,",
                f"{answer} s for its answer, {WAIT.maximum} s at most between dials.",
            ),
        )
        client = DemoClient(server.url)
        client.session.on(Event, partial(_show, screen))
        with screen.live():
            await _hold(client, server, screen, scenario)
    report = judge(client.evidence(server.log))
    screen.summary(client.steps, report, len(client.unconfirmed))
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return the exit code, which says whether the session kept its word."""
    return DONE if report.holds else FAILED


def _show(screen: DemoScreen, event: Event) -> None:
    line = event_text(event)
    if line is not None:
        screen.event(line, _STYLES.get(type(event), ""))


async def _hold(
    client: DemoClient,
    server: ServerProcess,
    screen: DemoScreen,
    scenario: Sequence[Scene],
) -> None:
    """Hold the session through the scenario, with traffic both ways."""
    async with client.session, asyncio.TaskGroup() as group:
        receiving = group.create_task(client.receive())
        sending = group.create_task(client.send())
        refreshing = group.create_task(_refresh(client, server, screen))
        await asyncio.sleep(_CALM)
        for step in scenario:
            await _take(step, client, server, screen)
        sending.cancel()
        await _let_last_messages_arrive(client, server)
        await client.session.close()
        await receiving
        refreshing.cancel()


async def _take(
    step: Scene, client: DemoClient, server: ServerProcess, screen: DemoScreen
) -> None:
    """Take one step, and wait until the session is back from it."""
    screen.step(step.story)
    client.begin_step(step.name)
    await step.act(server)
    client.server_is_ready()
    screen.event("the server is ready", "dim")
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.back()
    except TimeoutError:
        msg = (
            f"The session was not back {_PATIENCE:g} s after the server was"
            f" {step.name}."
        )
        raise DemoFailed(msg) from None
    await asyncio.sleep(_CALM)


async def _let_last_messages_arrive(client: DemoClient, server: ServerProcess) -> None:
    """Wait for the last messages: what is missing then is missing for good."""
    await server.tell("quiet")
    await server.until(lambda: bool(server.entries("quiet")), _PATIENCE)
    last_down = server.entries("quiet")[-1]["next"] - 1
    last_up = max(client.deliveries, default=0)
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        delivered = (e["number"] for e in reversed(server.entries("received")))
        if client.has_received(last_down) and last_up in delivered:
            return
        await asyncio.sleep(_CHECK_INTERVAL)


async def _refresh(
    client: DemoClient, server: ServerProcess, screen: DemoScreen
) -> None:
    """Keep the figures of the panel up to date."""
    while True:
        delivered = {entry["number"] for entry in server.entries("received")}
        figures = {**client.figures(), "delivered": str(len(delivered))}
        screen.show_figures(figures)
        await asyncio.sleep(_REFRESH_INTERVAL)
