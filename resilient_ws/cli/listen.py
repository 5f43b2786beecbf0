"""``resilient-ws listen``: a session between a server and this process' streams.

Rules: stdout carries messages and nothing else; what is read from stdin while offline
is kept, and not read on when the outbox is full; the end of stdin ends nothing.
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

#: With "wait", stdin is read no further while the outbox is full.
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
    """What was asked for on the command line."""

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
            # So that stdin is read, and kept, from the start.
            wait_open=False,
        )

    async def _restore(self, connection: Connection) -> None:
        """Say on each new connection what a server forgets with the one before."""
        for message in self.on_open:
            await connection.send(message)


def one_line(text: str) -> str:
    """Return a text message without line breaks.

    White space between the tokens of JSON means nothing, and inside its strings
    there is no line break: a space keeps it the same JSON.
    """
    if "\n" not in text and "\r" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text.replace("\r", "\\r").replace("\n", "\\n")
    return text.replace("\r", " ").replace("\n", " ")


def shown(text: str) -> str:
    """Return a message that cannot steer a terminal; its tabs stay."""
    return "\t".join(map(printable, text.split("\t")))


class _Teller:
    """Tells on stderr what is no message."""

    def __init__(self, *, as_json: bool) -> None:
        self._output: LineOutput | None = LineOutput(sys.stderr.fileno(), "stderr")
        self._as_json = as_json
        self._lost = asyncio.get_running_loop().create_future()

    async def event(self, event: Event) -> None:
        """Tell of an event."""
        if self._as_json:
            await self._write(as_json(event, time=time.time()))
        elif (line := in_words(event)) is not None:
            await self._write(f"resilient-ws: {line}")

    async def trouble(self, message: str) -> None:
        """Tell of something that is not the session's doing."""
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
        """Raise what stderr failed with, where it was asked to be a stream of events.

        Otherwise nobody listens, and the messages are what counts.
        """
        failure = await self._lost
        if not self._as_json:
            await asyncio.get_running_loop().create_future()
        raise failure


async def _print_messages(session: Session, job: Listen) -> None:
    """Print messages until there were enough, or the session ends."""
    output = LineOutput(sys.stdout.fileno(), "stdout")
    # A program gets what was sent; a terminal would obey what is in it.
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
    """Send the lines of stdin until its end; being without one is an end, too."""
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
    """End in good order; at once when told a second time."""
    if stopped.is_set():
        task.cancel()
    stopped.set()


async def listen(job: Listen, session: Session) -> int:
    """Print and send until the end; return the exit code."""
    # What the session logs, it reports as events, too.
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
        # Whoever read has gone, and has had enough.
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
    """Hold the streams to the session until one of them ends it."""
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
            # The end of stdin ends nothing; the session's own end is printing's.
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
