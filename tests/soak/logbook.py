"""Reads what the servers log into the ledgers, as it comes, and keeps none of it."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.process import ServerProcess
    from tests.soak.ledger import Ledger


class Logbook:
    """The log of one server, over all its lives.

    Args:
        server: Whose log it is.
        ledgers: Of each session, by its number.
    """

    def __init__(self, server: ServerProcess, ledgers: Mapping[int, Ledger]) -> None:
        self._server = server
        self._ledgers = ledgers
        # A server that is started again counts its connections anew.
        self._life = 0
        self._sessions: dict[int, int] = {}

    def read(self) -> None:
        """Take what has come."""
        log = self._server.log
        count = len(log)
        entries = log[:count]
        # The thread that reads the server's output appends meanwhile.
        del log[:count]
        for entry in entries:
            self._take(entry["event"], entry)

    def _take(self, event: str, entry: Mapping[str, object]) -> None:
        connection = entry.get("connection")
        if event == "ready":
            self._life += 1
            self._sessions.clear()
        elif not isinstance(connection, int):
            return
        elif event == "open":
            query = urllib.parse.urlsplit(str(entry["path"])).query
            number = int(urllib.parse.parse_qs(query)["session"][0])
            self._sessions[connection] = number
        elif event == "message":
            ledger = self._ledgers[self._sessions[connection]]
            number = int(str(entry["text"]).partition(" ")[0])
            ledger.arrived((self._life, connection), number)
