"""What the demo shows: a running story, a summary, and on a terminal a panel."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from resilient_ws.cli.demo.client import StepTimes
    from resilient_ws.cli.demo.report import Report

_REFRESHES_PER_SECOND: Final = 8
_MAX_WIDTH: Final = 88
#: Characters of the values in each column of the panel. Fixed, so that nothing jumps.
_PANEL_WIDTHS: Final = (12, 12, 8)
_STATE_STYLES: Final = {
    "open": "bold green",
    "connecting": "bold yellow",
    "restoring": "bold yellow",
    "backoff": "bold red",
}


class _Console(Console):
    """A console that raises on a broken pipe instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Raise the error again. Rich calls this while it handles the error."""
        raise  # noqa: PLE0704


class DemoScreen:
    """Writes to a terminal in colours, and to a file in plain lines."""

    def __init__(self) -> None:
        self._console = _Console(highlight=False)
        if self._console.is_terminal:
            self._console.width = min(self._console.width, _MAX_WIDTH)
        self._began = time.monotonic()
        self._figures: Mapping[str, str] = {}

    @contextlib.contextmanager
    def live(self) -> Generator[None]:
        """Show the panel inside the ``with`` block, if this is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._panel,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        ):
            yield

    def show_figures(self, figures: Mapping[str, str]) -> None:
        """Show these figures in the panel from now on, by name."""
        self._figures = figures

    def _panel(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for width in _PANEL_WIDTHS:
            grid.add_column(min_width=10, style="dim")
            grid.add_column(min_width=width, style="bold")
        cells: list[Text] = []
        for name, value in self._figures.items():
            cells += [Text(name), Text(value, style=_STATE_STYLES.get(value, ""))]
        columns = 2 * len(_PANEL_WIDTHS)
        for start in range(0, len(cells), columns):
            grid.add_row(*cells[start : start + columns])
        return Panel(grid, title="the session", title_align="left", box=box.ROUNDED)

    def title(self, text: str, notes: Sequence[str]) -> None:
        """Write what the demo is about to show."""
        self._console.print(Text(text, style="bold"))
        for note in notes:
            self._console.print(Text(note, style="dim"))
        self._console.print()

    def step(self, text: str) -> None:
        """Write what happens to the server."""
        self._console.print()
        self._line(Text(text, style="bold yellow"))

    def event(self, text: str, style: str = "") -> None:
        """Write what the session did."""
        self._line(Text(text, style=style))

    def _line(self, text: Text) -> None:
        stamp = f"{time.monotonic() - self._began:5.1f} s"
        if not self._console.is_terminal:
            self._console.print(f"{stamp}  {text.plain}", soft_wrap=True, markup=False)
            return
        row = Table.grid(padding=(0, 2))
        row.add_row(Text(stamp, style="dim"), text)
        self._console.print(row)

    def summary(self, steps: Sequence[StepTimes], report: Report, drops: int) -> None:
        """Write the tables of steps and of messages, and the verdict."""
        self._console.print()
        self._console.print(
            Group(_step_table(steps), Text(), _message_table(report, drops), Text())
        )
        lost = report.lost_in_silence
        doubled = report.down.doubled + report.up.doubled
        if report.holds:
            verdict = Text(
                "Nothing was lost in silence, nothing came twice.", "bold green"
            )
        else:
            verdict = Text(
                f"LOST IN SILENCE: {lost}. DELIVERED TWICE: {doubled}.", "bold red"
            )
        self._console.print(verdict)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _step_table(steps: Sequence[StepTimes]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("the server was")
    table.add_column("noticed after", justify="right")
    table.add_column("server ready after", justify="right")
    table.add_column("session back after", justify="right")
    for step in steps:
        times = (step.noticed_after, step.ready_after, step.back_after)
        table.add_row(step.name, *map(_seconds, times))
    return table


def _message_table(report: Report, drops: int) -> Table:
    down, up = report.down, report.up
    rows = (
        ("down: sent by the server", down.sent, "to nobody, while nobody is there"),
        ("      received", down.received, ""),
        ("      missed while away", down.missed, "reported: inside an Interruption"),
        ("      lost on the way", down.lost, "reported: inside an Interruption"),
        ("      lost in silence", down.silent, "reported by nobody"),
        ("      received twice", down.doubled, ""),
        ("up:   accepted by send()", up.accepted, "kept while offline"),
        ("      delivered", up.delivered, "seen by the server"),
        ("      in flight at a drop", up.in_flight, f"reported: by {drops} drops"),
        ("      refused", up.refused, "reported: by their Delivery"),
        ("      lost in silence", up.silent, "reported by nobody"),
        ("      delivered twice", up.doubled, ""),
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("messages")
    table.add_column("", justify="right")
    table.add_column("", style="dim")
    for name, value, note in rows:
        bad = value and ("silence" in name or "twice" in name)
        table.add_row(name, str(value), note, style="bold red" if bad else None)
    return table
