"""What the monitor page has told so far: its sessions, and what is wrong.

Rules: whatever a server sends is taken as far as it makes sense, and bounded. Texts are
escaped, because a terminal would obey them.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias, cast

from resilient_ws import printable


Row: TypeAlias = dict[str, Any]

#: The worst first.
_ORDER: Final = {"bad": 0, "warn": 1, "good": 2, "idle": 3}
_MOST_SESSIONS: Final = 10_000
_LONGEST_TEXT: Final = 500


class Picture:
    """Puts together what the page's WebSocket sends.

    Attributes:
        title: What the page calls its program.
        locked: Whether the page wants a token.
        now: The time of the page, in Unix seconds.
        turns: How many turns were told.
        notes: What is wrong with the watch itself.
    """

    def __init__(self) -> None:
        self.title = ""
        self.locked = False
        self.now = 0.0
        self.turns = 0
        self.notes: list[str] = []
        self._columns: list[str] = []
        self._rows: dict[int, Row] = {}

    def take(self, text: str | bytes) -> None:
        """Take one message of the page."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(found, dict):
            return
        message = cast("dict[str, Any]", found)
        match message.get("type"):
            case "hello":
                self.locked = False
                self._rows.clear()
                self.title = _text(message.get("title"))
                self._columns = [_text(name) for name in _list(message, "columns")]
            case "locked":
                self.locked = True
            case "turn":
                self._turn(message)
            case _:
                pass

    def _turn(self, message: dict[str, Any]) -> None:
        self.turns += 1
        self.now = _number(message.get("now")) or 0.0
        self.notes = [_text(note) for note in _list(message, "notes")]
        for values in _list(message, "rows")[:_MOST_SESSIONS]:
            if isinstance(values, list):
                row = dict(
                    zip(self._columns, cast("list[object]", values), strict=False)
                )
                number = row.get("id")
                if isinstance(number, int):
                    self._rows[number] = row
        ids = set(map(str, _list(message, "ids")))
        self._rows = {
            number: row for number, row in self._rows.items() if str(number) in ids
        }

    @property
    def rows(self) -> list[Row]:
        """The sessions, the worst first."""
        return sorted(
            self._rows.values(),
            key=lambda row: (_ORDER.get(str(row.get("health")), 9), row["id"]),
        )

    def counts(self) -> dict[str, int]:
        """Return how many sessions are in each health."""
        counts = dict.fromkeys(_ORDER, 0)
        for row in self._rows.values():
            health = str(row.get("health"))
            if health in counts:
                counts[health] += 1
        return counts


def alarm_of(row: Row) -> str:
    """Return the first thing that is wrong with a session, and how many more are."""
    alarms = [
        cast("list[object]", alarm)
        for alarm in _list(row, "alarms")
        if isinstance(alarm, list) and len(cast("list[object]", alarm)) > 1
    ]
    if not alarms:
        return ""
    more = f" (+{len(alarms) - 1})" if len(alarms) > 1 else ""
    return f"{_text(alarms[0][1])}{more}"


def text_of(row: Row, column: str) -> str:
    """Return a text of a row."""
    return _text(row.get(column))


def number_of(row: Row, column: str) -> float | None:
    """Return a number of a row, ``None`` if there is none."""
    return _number(row.get(column))


def _list(message: dict[str, Any], name: str) -> list[Any]:
    found = message.get(name)
    return cast("list[object]", found) if isinstance(found, list) else []


def _text(value: object) -> str:
    return printable(value[:_LONGEST_TEXT]) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(cast("float", value)) if is_number else None
