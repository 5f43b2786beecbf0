"""Lines on stderr: the events of a session, and problems."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from resilient_ws.cli.event_json import event_json
from resilient_ws.cli.event_text import event_text
from resilient_ws.cli.lines import LineOutput
from resilient_ws.cli.stdio import StreamFailed
from resilient_ws.events import RetryScheduled


if TYPE_CHECKING:
    from resilient_ws import Event
    from resilient_ws.cli.status_line import StatusLine


class Reporter:
    """Writes events and problems to stderr.

    Args:
        as_json: Whether each line is a JSON object.
        name: What to call the session, if it has a name.

    Attributes:
        status: A line at the bottom of the terminal, above which to write, if there is
            one. It counts down to the next attempt, so no line tells of that.
        has_written: Whether anything was written yet.
    """

    def __init__(self, *, as_json: bool, name: str | None = None) -> None:
        self._output: LineOutput | None = LineOutput(sys.stderr.fileno(), "stderr")
        self.as_json = as_json
        self.status: StatusLine | None = None
        self.has_written = False
        self._prefix = "resilient-ws" if name is None else name
        self._failure: asyncio.Future[Exception] = (
            asyncio.get_running_loop().create_future()
        )

    async def event(self, event: Event) -> None:
        """Write an event."""
        if self.as_json:
            await self._write(event_json(event, time=time.time()))
        elif self.status is not None and isinstance(event, RetryScheduled):
            pass
        elif (line := event_text(event)) is not None:
            await self._write(f"{self._prefix}: {line}")

    async def problem(self, message: str) -> None:
        """Write a problem that is not an event of the session."""
        if self.as_json:
            problem = {"event": "Trouble", "time": time.time(), "message": message}
            await self._write(json.dumps(problem))
        else:
            await self._write(f"{self._prefix}: {message}")

    async def _write(self, line: str) -> None:
        """Write a line, or do nothing if stderr has failed."""
        if self._output is None:
            return
        self.has_written = True
        try:
            if self.status is None:
                await self._output.write(line)
            else:
                await self.status.remark(line)
        except (OSError, StreamFailed) as failure:
            self._output = None
            if not self._failure.done():
                self._failure.set_result(failure)

    async def failed(self) -> None:
        """Wait for stderr to fail, and raise its error if it carries --json-events.

        Without --json-events the command goes on, because the messages on stdout are
        what counts.
        """
        failure = await self._failure
        if not self.as_json:
            await asyncio.get_running_loop().create_future()
        raise failure
