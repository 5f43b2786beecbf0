"""``resilient-ws listen``: a session between a server and this process's streams.

Rules: stdout carries only messages. Lines from stdin are kept while offline, and stdin
is not read while the outbox is full. The end of stdin does not end the command.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
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
from resilient_ws.cli.error_text import error_text
from resilient_ws.cli.event_json import event_json
from resilient_ws.cli.event_text import event_text
from resilient_ws.cli.exit_codes import DONE, FAILED
from resilient_ws.cli.lines import LineOutput, hung_up, read_lines
from resilient_ws.cli.message_text import BinaryFormat, one_line, safe_for_terminal
from resilient_ws.cli.signals import on_ending_signals
from resilient_ws.cli.stdio import StreamFailed, discard_unwritten
from resilient_ws.errors import ResilientWSError


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


class _Reporter:
    """Writes events and problems to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._output: LineOutput | None = LineOutput(sys.stderr.fileno(), "stderr")
        self._as_json = as_json
        self._failure: asyncio.Future[Exception] = (
            asyncio.get_running_loop().create_future()
        )

    async def event(self, event: Event) -> None:
        """Write an event."""
        if self._as_json:
            await self._write(event_json(event, time=time.time()))
        elif (line := event_text(event)) is not None:
            await self._write(f"resilient-ws: {line}")

    async def problem(self, message: str) -> None:
        """Write a problem that is not an event of the session."""
        if self._as_json:
            problem = {"event": "Trouble", "time": time.time(), "message": message}
            await self._write(json.dumps(problem))
        else:
            await self._write(f"resilient-ws: {message}")

    async def _write(self, line: str) -> None:
        """Write a line, or do nothing if stderr has failed."""
        if self._output is None:
            return
        try:
            await self._output.write(line)
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
        if not self._as_json:
            await asyncio.get_running_loop().create_future()
        raise failure


async def listen(options: ListenOptions, session: Session) -> int:
    """Print and send until the end; return the exit code."""
    # The events on stderr say everything that the log would.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    stopped = asyncio.Event()
    current: asyncio.Task[int] | None = asyncio.current_task()
    assert current is not None  # noqa: S101 - a coroutine runs in a task
    on_ending_signals(partial(_on_signal, stopped, current))
    reporter = _Reporter(as_json=options.json_events)
    session.on(Event, reporter.event)
    try:
        async with session:
            await _run_until_the_end(options, session, reporter, stopped)
    except asyncio.CancelledError:
        return DONE
    except BrokenPipeError:
        # The reader of stdout has closed it, which is not an error.
        discard_unwritten(sys.stdout)
        return DONE
    except StreamFailed as failure:
        await reporter.problem(str(failure))
        return FAILED
    except ResilientWSError as failure:
        if not options.json_events:
            await reporter.problem(error_text(failure))
        return FAILED
    return DONE


def _on_signal(stopped: asyncio.Event, task: asyncio.Task[int]) -> None:
    """End cleanly on the first signal, and at once on the second."""
    if stopped.is_set():
        task.cancel()
    stopped.set()


async def _run_until_the_end(
    options: ListenOptions,
    session: Session,
    reporter: _Reporter,
    stopped: asyncio.Event,
) -> None:
    """Connect the streams to the session until one of them ends the command."""
    create = asyncio.get_running_loop().create_task
    printing = create(_print_messages(session, options))
    sending = create(_send_lines(session, reporter))
    unread = create(hung_up(sys.stdout.fileno()))
    told_to_stop = create(stopped.wait())
    unreported = create(reporter.failed())
    tasks: set[asyncio.Task[object]] = {
        printing,
        sending,
        unread,
        told_to_stop,
        unreported,
    }
    pending = tasks
    try:
        while True:
            done, pending = await asyncio.wait(
                pending, return_when=asyncio.FIRST_COMPLETED
            )
            # Go on after the end of stdin. Printing ends when the session does.
            if done != {sending} or not _ended_well(sending):
                break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in (printing, sending, unreported):
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure


def _ended_well(sending: asyncio.Task[None]) -> bool:
    failure = sending.exception()
    return failure is None or isinstance(failure, ResilientWSError)


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
            await output.write(options.binary.encode(message))
        printed += 1
        if printed == options.count:
            return


async def _send_lines(session: Session, reporter: _Reporter) -> None:
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
