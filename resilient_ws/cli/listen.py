"""``resilient-ws listen``: a session between a server and this process's streams.

Rules: stdout carries only messages. Lines from stdin are kept while offline, and stdin
is not read while the outbox is full. The end of stdin does not end the command.
"""

from __future__ import annotations

import asyncio
import base64
import enum
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
    printable,
)
from resilient_ws.cli.standard import StreamFailed, let_go, on_ending_signals
from resilient_ws.cli.streams import LineOutput, read_lines
from resilient_ws.cli.words import as_json, in_words, told
from resilient_ws.errors import ResilientWSError


DONE: Final = 0
GAVE_UP: Final = 1

#: With "wait", stdin is not read while the outbox is full.
_OUTBOX: Final = Outbox(overflow="wait")


class Binary(enum.Enum):
    """How a binary message is written on a line of text."""

    BASE64 = "base64"
    HEX = "hex"

    def encode(self, message: bytes) -> str:
        """Return the message as text."""
        if self is Binary.HEX:
            return message.hex()
        return base64.b64encode(message).decode()


@attrs.frozen(kw_only=True)
class Listen:
    """The arguments of the command."""

    url: str
    headers: Mapping[str, str]
    subprotocols: Sequence[str]
    on_open: Sequence[str]
    count: int | None
    binary: Binary
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
            access=Access() if not self.allow_insecure else Access(allow_insecure=True),
            reconnect=Reconnect(max_outage=self.give_up_after),
            outbox=_OUTBOX,
            # Read stdin, and keep its lines, from the start.
            wait_open=False,
        )

    async def _restore(self, connection: Connection) -> None:
        """Send the --on-open messages, which a server forgets with each connection."""
        for message in self.on_open:
            await connection.send(message)


def one_line(text: str) -> str:
    """Return a text message without line breaks.

    In JSON, line breaks occur only as white space between tokens, so a space in their
    place keeps the value the same.
    """
    if "\n" not in text and "\r" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text.replace("\r", "\\r").replace("\n", "\\n")
    return text.replace("\r", " ").replace("\n", " ")


def shown(text: str) -> str:
    """Return a message with escapes for what could control a terminal; tabs stay."""
    return "\t".join(map(printable, text.split("\t")))


class _Teller:
    """Writes events and problems to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._output: LineOutput | None = LineOutput(sys.stderr.fileno(), "stderr")
        self._as_json = as_json
        self._lost = asyncio.get_running_loop().create_future()

    async def event(self, event: Event) -> None:
        """Write an event."""
        if self._as_json:
            await self._write(as_json(event, time=time.time()))
        elif (line := in_words(event)) is not None:
            await self._write(f"resilient-ws: {line}")

    async def trouble(self, message: str) -> None:
        """Write a problem that is not an event of the session."""
        if self._as_json:
            complaint = {"event": "Trouble", "time": time.time(), "message": message}
            await self._write(json.dumps(complaint))
        else:
            await self._write(f"resilient-ws: {message}")

    async def _write(self, line: str) -> None:
        if self._output is not None:
            try:
                await self._output.write(line)
            except (OSError, StreamFailed) as failure:
                self._output = None
                if not self._lost.done():
                    self._lost.set_result(failure)

    async def lost(self) -> None:
        """Wait for stderr to fail, and raise its error if it carries --json-events.

        Without --json-events, the command goes on: the messages are what counts.
        """
        failure = await self._lost
        if not self._as_json:
            await asyncio.get_running_loop().create_future()
        raise failure


async def _print_messages(session: Session, job: Listen) -> None:
    """Print messages until the count is reached or the session ends."""
    output = LineOutput(sys.stdout.fileno(), "stdout")
    # A program gets the message as sent. A terminal would obey escapes in it.
    made = shown if sys.stdout.isatty() else str
    printed = 0
    async for message in session:
        if isinstance(message, str):
            await output.write(made(one_line(message)))
        else:
            await output.write(job.binary.encode(message))
        printed += 1
        if printed == job.count:
            return


async def _send_lines(session: Session, teller: _Teller) -> None:
    """Send the lines of stdin until its end; return at once if there is no stdin."""
    if sys.stdin is None:
        return
    number = 0
    async for line in read_lines(sys.stdin.fileno(), max_size=_OUTBOX.max_bytes):
        number += 1
        if line is None:
            await teller.trouble(f"line {number} of stdin is too long and was not sent")
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError:
            await teller.trouble(
                f"line {number} of stdin is not UTF-8 and was not sent"
            )
            continue
        await session.send(text)


def _on_signal(stopped: asyncio.Event, task: asyncio.Task[int]) -> None:
    """End cleanly on the first signal, and at once on the second."""
    if stopped.is_set():
        task.cancel()
    stopped.set()


async def listen(job: Listen, session: Session) -> int:
    """Print and send until the end; return the exit code."""
    # The events on stderr say everything that the log would.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    stopped = asyncio.Event()
    current: asyncio.Task[int] | None = asyncio.current_task()
    assert current is not None  # noqa: S101 - a coroutine runs in a task
    on_ending_signals(partial(_on_signal, stopped, current))
    teller = _Teller(as_json=job.json_events)
    session.on(Event, teller.event)
    try:
        async with session:
            await _until_the_end(job, session, teller, stopped)
    except asyncio.CancelledError:
        return DONE
    except BrokenPipeError:
        # The reader of stdout has closed it, which is not an error.
        let_go(sys.stdout)
        return DONE
    except StreamFailed as failure:
        await teller.trouble(str(failure))
        return GAVE_UP
    except ResilientWSError as failure:
        if not job.json_events:
            await teller.trouble(told(failure))
        return GAVE_UP
    return DONE


async def _until_the_end(
    job: Listen, session: Session, teller: _Teller, stopped: asyncio.Event
) -> None:
    """Connect the streams to the session until one of them ends it."""
    create = asyncio.get_running_loop().create_task
    printing = create(_print_messages(session, job))
    sending = create(_send_lines(session, teller))
    gone = create(LineOutput(sys.stdout.fileno(), "stdout").hung_up())
    told_to_stop = create(stopped.wait())
    untold = create(teller.lost())
    tasks: set[asyncio.Task[object]] = {printing, sending, gone, told_to_stop, untold}
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
    for task in (printing, sending, untold):
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure


def _ended_well(sending: asyncio.Task[None]) -> bool:
    failure = sending.exception()
    return failure is None or isinstance(failure, ResilientWSError)
