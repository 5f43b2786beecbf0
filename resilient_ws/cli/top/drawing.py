"""Draws the sessions as a table that fits the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from resilient_ws.cli.listen_status import duration
from resilient_ws.cli.top.picture import alarm_of, number_of, text_of


if TYPE_CHECKING:
    from rich.console import RenderableType

    from resilient_ws.cli.top.picture import Picture, Row

_STYLES: Final = {"bad": "bold red", "warn": "yellow", "good": "green", "idle": "dim"}
#: Columns of the terminal from which on each column of the table is shown.
_COLUMNS: Final = (
    ("ping", "latency", 70),
    ("in/s", "received", 60),
    ("out/s", "sent", 100),
    ("inbox", "inbox", 120),
    ("outbox", "outbox", 90),
    ("drops", "drops", 60),
    ("gaps", "gaps", 110),
)
#: Lines that are not rows: the title, the head, and what is below.
_FRAME: Final = 5
_MILLISECONDS: Final = 1000


def drawn(
    picture: Picture, *, width: int, height: int, state: str = ""
) -> RenderableType:
    """Return the table, for a terminal of this size; ``height`` 0 shows every row."""
    rows = picture.rows
    fit = rows if height <= 0 else rows[: max(1, height - _FRAME)]
    parts: list[RenderableType] = [_title(picture, state), _table(picture, fit, width)]
    if len(fit) < len(rows):
        more = f"{len(rows) - len(fit)} more, which are better, do not fit"
        parts.append(Text(more, style="dim"))
    parts += [Text(note, style="yellow") for note in picture.notes[:2]]
    return Group(*parts)


def _title(picture: Picture, state: str) -> Text:
    counts = picture.counts()
    total = sum(counts.values())
    noun = "session" if total == 1 else "sessions"
    title = Text.assemble(
        (picture.title or "resilient_ws", "bold"), f"  {total} {noun}"
    )
    for health, word in (("bad", "bad"), ("warn", "odd"), ("good", "well")):
        if counts[health]:
            title.append(f"  {counts[health]} {word}", style=_STYLES[health])
    if state:
        title.append(f"  {state}", style="bold red")
    title.no_wrap, title.overflow = True, "ellipsis"
    return title


def _table(picture: Picture, rows: list[Row], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
    table.add_column("", width=4, no_wrap=True)
    table.add_column("session", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("state", width=15, no_wrap=True)
    columns = [column for column in _COLUMNS if width >= column[2]]
    for title, _, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    # Where nothing is wrong, the names get the room.
    alarms = [alarm_of(row) for row in rows]
    if any(alarms):
        table.add_column("what is wrong", ratio=4, no_wrap=True, overflow="ellipsis")
    for row, alarm in zip(rows, alarms, strict=True):
        health = text_of(row, "health")
        style = _STYLES.get(health, "")
        cells = [_cell(row, name) for _, name, _ in columns]
        table.add_row(
            Text({"good": "ok", "warn": "odd"}.get(health, health), style=style),
            Text(text_of(row, "name")),
            Text(_state(row, picture.now)),
            *cells,
            *([Text(alarm, style=style)] if any(alarms) else []),
        )
    return table


def _cell(row: Row, name: str) -> str:
    value = number_of(row, name)
    if value is None:
        return "-"
    if name == "latency":
        return f"{value * _MILLISECONDS:,.0f} ms"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _state(row: Row, now: float) -> str:
    """Return the state, since when, and when the next attempt is."""
    state = text_of(row, "state")
    since, retry = number_of(row, "since"), number_of(row, "retryAt")
    if retry is not None:
        return f"retry in {max(0.0, retry - now):.0f} s"
    return state if since is None else f"{state} {duration(max(0.0, now - since))}"
