"""The course of a recording: which connections there were, and how each ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from resilient_ws.recording.reader import read


if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from resilient_ws.recording.entries import Entry


@attrs.define
class Stretch:
    """One connection of a recording.

    Attributes:
        epoch: Its ordinal.
        began: When its first entry is, in seconds since the recording began.
        subprotocol: The subprotocol that the server selected, ``""`` for none.
        ended: Whether the recording tells of its end.
        messages: How many messages the server sent on it.
    """

    epoch: int
    began: float
    subprotocol: str = ""
    ended: bool = False
    messages: int = 0

    def note(self, entry: Entry) -> None:
        """Take an entry of this connection into account."""
        self.began = min(self.began, entry.at)
        if entry.kind == "opened":
            self.subprotocol = entry.detail
        elif entry.kind in {"ended", "close"}:
            self.ended = True
        elif entry.is_message and not entry.sent:
            self.messages += 1


def course_of(path: str | os.PathLike[str]) -> list[Stretch]:
    """Return the connections of a recording that opened, in their order.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a recording, is damaged, or no connection opened in it.
    """
    found = _stretches(read(path))
    if not found:
        raise ValueError(f"{path} holds nothing to play: no connection opened in it")
    return found


def _stretches(entries: Iterable[Entry]) -> list[Stretch]:
    stretches: dict[int, Stretch] = {}
    for entry in entries:
        if entry.epoch:
            if entry.epoch not in stretches:
                stretches[entry.epoch] = Stretch(entry.epoch, entry.at)
            stretches[entry.epoch].note(entry)
    return list(stretches.values())
