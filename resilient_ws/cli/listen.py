"""``resilient-ws listen``: a session between a server and this process's streams.

Rules: stdout carries only messages. Lines from stdin are kept while offline, and stdin
is not read while the outbox is full. The end of stdin does not end the command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from resilient_ws import (
    Access,
    Connection,
    Event,
    Outbox,
    Reconnect,
    Session,
    connect,
)
from resilient_ws.cli.lines import LineOutput, read_lines
from resilient_ws.cli.message_text import BinaryFormat, one_line, safe_for_terminal
from resilient_ws.cli.reporter import Reporter
from resilient_ws.cli.running import run_until_the_end


#: With "wait", stdin is not read while the outbox is full.
_OUTBOX: Final = Outbox(overflow="wait")


@attrs.frozen(kw_only=True)
class ListenOptions:
    """What the command line says."""

    url: str
    headers: Mapping[str, str]
    subprotocols: Sequence[str]
    on_open: Sequence[str]
    count: int | None
    binary: BinaryFormat
    json_events: bool
    allow_insecure: bool
    give_up_after: float | None

    def connect(self) -> Session:
        """Return the session, not entered yet.

        Raises:
            SecurityError: The URL would not be encrypted.
            ValueError: Another argument is wrong.
        """
        return connect(
            self.url,
            headers=self.headers,
            subprotocols=self.subprotocols,
            on_open=self._restore if self.on_open else None,
            access=Access(allow_insecure=True) if self.allow_insecure else Access(),
            reconnect=Reconnect(max_outage=self.give_up_after),
            outbox=_OUTBOX,
            # Read stdin, and keep its lines, from the start.
            wait_open=False,
        )

    async def _restore(self, connection: Connection) -> None:
        """Send the --on-open messages, which a server forgets with each connection."""
        for message in self.on_open:
            await connection.send(message)


async def listen(options: ListenOptions, session: Session) -> int:
    """Print and send until the end; return the exit code."""
    reporter = Reporter(as_json=options.json_events)
    session.on(Event, reporter.event)
    return await run_until_the_end(
        session,
        reporter,
        lambda: _print_messages(session, options),
        beside=lambda: _send_lines(session, reporter),
    )


async def _print_messages(session: Session, options: ListenOptions) -> None:
    """Print messages until the count is reached or the session ends."""
    output = LineOutput(sys.stdout.fileno(), "stdout")
    # A program gets the message as sent. A terminal would obey escapes in it.
    shown = safe_for_terminal if sys.stdout.isatty() else str
    printed = 0
    async for message in session:
        if isinstance(message, str):
            await output.write(shown(one_line(message)))
        else:
            await output.write(options.binary.text_of(message))
        printed += 1
        if printed == options.count:
            return


async def _send_lines(session: Session, reporter: Reporter) -> None:
    """Send the lines of stdin until its end; return at once if there is no stdin."""
    if sys.stdin is None:
        return
    number = 0
    async for line in read_lines(sys.stdin.fileno(), max_size=_OUTBOX.max_bytes):
        number += 1
        if line is None:
            await reporter.problem(
                f"line {number} of stdin is too long and was not sent"
            )
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError:
            await reporter.problem(
                f"line {number} of stdin is not UTF-8 and was not sent"
            )
            continue
        await session.send(text)
