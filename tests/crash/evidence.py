"""What is known of a campaign from outside: journals, stores, and the servers' logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from tests.crash.journal import Entry


if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen
class Life:
    """One life of the sender.

    Attributes:
        journal: What it wrote.
        left: What its store held after its end: by number, how often each was written.
    """

    journal: Sequence[Entry]
    left: Mapping[int, int]

    @property
    def began(self) -> float:
        """When, on the clock that processes share."""
        return float(self.journal[0]["at"])

    def entries(self, event: str) -> Iterator[Entry]:
        """The lines of one kind."""
        return (entry for entry in self.journal if entry["event"] == event)


@attrs.frozen
class Served:
    """A connection as a server saw it.

    Attributes:
        server: Which server.
        opened: When, on the clock that processes share.
        texts: The messages that came, in order.
    """

    server: str
    opened: float
    texts: Sequence[str]


@attrs.frozen
class Evidence:
    """A whole campaign: all lives, the last of which ended by itself, once drained.

    Attributes:
        connections: In the order in which they were opened.
        troubles: What went wrong on the way: each is a violation.
    """

    lives: Sequence[Life]
    connections: Sequence[Served]
    troubles: Sequence[str] = ()


def connections(server: str, log: Sequence[Entry]) -> list[Served]:
    """Sort a server's log by connection."""
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for entry in log:
        if entry["event"] == "message":
            # Too long to be shown it can only be if it was altered.
            texts[entry["connection"]].append(entry.get("text", ""))
    return [
        Served(server, entry["at"], texts[entry["connection"]])
        for entry in log
        if entry["event"] == "open"
    ]
