"""``resilient-ws probe``: print what is found, step by step, and the conclusion."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Final

from resilient_ws.cli.exit_codes import DONE, FAILED, INTERRUPTED
from resilient_ws.cli.probe.finding import Finding, Grade
from resilient_ws.cli.probe.walk import Walk
from resilient_ws.cli.screen import Colour, Screen
from resilient_ws.cli.signals import on_ending_signals


if TYPE_CHECKING:
    from resilient_ws.cli.probe.walk import ProbeOptions

_COLOURS: Final = {
    Grade.OK: Colour.GOOD,
    Grade.NOTE: Colour.DOUBTFUL,
    Grade.BAD: Colour.BAD,
}
#: Columns: the grade, and the longest step with a space.
_GRADE: Final = 6
_STEP: Final = 13
_REDRAWN: Final = 0.25
_DEFAULTS: Final = (
    "The defaults suit this server: a ping every 20 s, and 20 s for its answer."
)


class ProbeReport:
    """Prints findings for people, or keeps them for one JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._screen = Screen(sys.stdout)
        self._progress = Screen(sys.stderr)
        self._drawn = False
        self.findings: list[Finding] = []

    def found(self, finding: Finding) -> None:
        """Take a finding."""
        self.findings.append(finding)
        if self._as_json:
            return
        self.clear()
        screen = self._screen
        grade = screen.coloured(f"{finding.grade.value:<{_GRADE}}", None)
        indent = " " * (_GRADE + _STEP)
        text = screen.wrapped(
            finding.text, first=f"{grade}{finding.step:<{_STEP}}", rest=indent
        )
        if screen.has_colours:
            mark = screen.coloured(finding.grade.value, _COLOURS[finding.grade])
            text = mark + text[len(finding.grade.value) :]
        print(text)
        if finding.remedy:
            print(screen.wrapped(finding.remedy, first=indent, rest=indent))
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """Show what goes on, on a terminal."""
        screen = self._progress
        if self._as_json or not screen.is_terminal:
            return
        shown = screen.coloured(text[: screen.width - 1], Colour.FAINT)
        with contextlib.suppress(OSError):
            print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)
        self._drawn = True

    def clear(self) -> None:
        """Take away what ``progress`` shows."""
        if self._drawn:
            with contextlib.suppress(OSError):
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False

    def conclude(self, walk: Walk, *, interrupted: bool) -> None:
        """Print what it comes to."""
        self.clear()
        if self._as_json:
            self._print_json(walk)
            return
        screen, settings = self._screen, walk.settings
        print()
        if interrupted:
            print("Interrupted; what is above is what was found.")
        wrong = [one for one in self.findings if one.grade is Grade.BAD]
        if not walk.works:
            text = "A session does not work with this server."
            if wrong and wrong[0] is not self.findings[-1]:
                text += f" {wrong[0].step}: {wrong[0].text}."
            print(screen.coloured(screen.wrapped(text), Colour.BAD))
        if settings.options or settings.arguments:
            why = " ".join(settings.reasons)
            print(screen.wrapped(f"{why} These settings suit it:"))
            if settings.options:
                print(f"  resilient-ws listen URL {settings.options}")
            print(f"  connect(url, {settings.arguments})")
        elif walk.works and not interrupted:
            print(screen.wrapped(_DEFAULTS))
        sys.stdout.flush()

    def _print_json(self, walk: Walk) -> None:
        print(
            json.dumps(
                {
                    "works": walk.works,
                    "options": walk.settings.options,
                    "arguments": walk.settings.arguments,
                    "reasons": walk.settings.reasons,
                    "findings": [
                        {
                            "step": one.step,
                            "grade": one.grade.value,
                            "text": one.text,
                            "remedy": one.remedy,
                        }
                        for one in self.findings
                    ],
                }
            )
        )


async def probe(options: ProbeOptions, *, as_json: bool) -> int:
    """Probe a server, print what is found, and return the exit code."""
    # What is found says everything that the log would.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    report = ProbeReport(as_json=as_json)
    walk = Walk(options, report.found)
    walking = asyncio.ensure_future(walk.run())
    on_ending_signals(walking.cancel)
    drawing = asyncio.ensure_future(_show_progress(walk, report))
    try:
        await asyncio.wait([walking])
    finally:
        drawing.cancel()
        await asyncio.wait([drawing])
    interrupted = walking.cancelled()
    if not interrupted and (failure := walking.exception()) is not None:
        raise failure
    report.conclude(walk, interrupted=interrupted)
    if interrupted:
        return INTERRUPTED
    return DONE if walk.works else FAILED


async def _show_progress(walk: Walk, report: ProbeReport) -> None:
    """Show what goes on, and for how long it has."""
    doing, since = "", time.monotonic()
    while True:
        if walk.doing != doing:
            doing, since = walk.doing, time.monotonic()
        waited = time.monotonic() - since
        if doing and waited > 1:
            report.progress(f"{doing}... {waited:.0f} s (Ctrl-C to stop)")
        await asyncio.sleep(_REDRAWN)
