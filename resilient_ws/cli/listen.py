"""``resilient-ws listen``: a session between a server and this process's streams.

Rules: stdout carries only messages. Lines from stdin are kept while offline, and stdin
is not read while the outbox is full. The end of stdin does not end the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from resilient_ws import (
    Connection,
    Event,
    Liveness,
    Outbox,
    Reconnect,
    Session,
    State,
)
from resilient_ws.cli.keyboard import Keyboard, LineEditor, has_keyboard
from resilient_ws.cli.lines import LineOutput, read_lines
from resilient_ws.cli.listen_status import ListenStatus
from resilient_ws.cli.message_text import BinaryFormat, Printer
from resilient_ws.cli.reporter import Reporter
from resilient_ws.cli.running import run_until_the_end
from resilient_ws.cli.screen import Screen
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.status_line import StatusLine
from resilient_ws.cli.stdio import StreamFailed
from resilient_ws.recording import Recorder


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

#: With "wait", stdin is not read while the outbox is full.
_OUTBOX: Final = Outbox(overflow="wait")
#: Seconds without a word after which the command says that it connects.
_PATIENCE: Final = 1.0
#: A header or a value of the query that is shorter is no secret to be hidden.
_SHORTEST_SECRET: Final = 8


@attrs.frozen(kw_only=True)
class ListenOptions:
    """What the command line says."""

    server: ServerOptions
    on_open: Sequence[str] = ()
    count: int | None = None
    binary: BinaryFormat = BinaryFormat.BASE64
    pretty: bool = False
    timestamps: bool = False
    json_events: bool = False
    give_up_after: float | None = None
    ping: float | None = None
    idle: float | None = None
    name: str | None = None
    record: str | None = None

    def connect(self) -> Session:
        """Return the session, not entered yet.

        Raises:
            SecurityError: The URL would not be encrypted.
            ValueError: Another argument is wrong.
        """
        return self.server.connect(
            on_open=self._restore if self.on_open else None,
            reconnect=Reconnect(max_outage=self.give_up_after),
            liveness=self._liveness(),
            outbox=_OUTBOX,
            # Read stdin, and keep its lines, from the start.
            wait_open=False,
            name=self.name,
        )

    def _liveness(self) -> Liveness:
        if self.ping is None:
            return Liveness(idle_timeout=self.idle)
        return Liveness(ping_interval=self.ping or None, idle_timeout=self.idle)

    async def _restore(self, connection: Connection) -> None:
        """Send the --on-open messages, which a server forgets with each connection."""
        for message in self.on_open:
            await connection.send(message)

    def recorder(self, session: Session) -> Recorder | None:
        """Return the recorder of --record, if it was given.

        Raises:
            ValueError: The file would be compressed, and zstandard is missing.
        """
        if self.record is None:
            return None
        return Recorder(session, self.record, secrets=_secrets(self.server))


def _secrets(server: ServerOptions) -> list[str]:
    """Return what of the command line may be a secret that a server repeats."""
    query = [value for _, value in parse_qsl(urlsplit(server.url).query)]
    values = [*server.headers.values(), *query]
    return [value for value in values if len(value) >= _SHORTEST_SECRET]


async def listen(
    options: ListenOptions, session: Session, recorder: Recorder | None = None
) -> int:
    """Print and send until the end; return the exit code."""
    reporter = Reporter(as_json=options.json_events, name=options.name)
    editor = LineEditor() if has_keyboard() else None
    shown = Screen(sys.stderr)
    async with contextlib.AsyncExitStack() as stack:
        if shown.is_terminal and not options.json_events:
            status = ListenStatus(session, shown, editor)
            session.on(Event, status.note)
            reporter.status = StatusLine(
                status.text, LineOutput(sys.stderr.fileno(), "stderr"), shown
            )
        elif editor is not None:
            # Without a status line, the terminal shows what is typed.
            editor = None
        session.on(Event, reporter.event)
        if editor is not None:
            loop = asyncio.get_running_loop()
            keyboard = await stack.enter_async_context(Keyboard(loop))
            lines = _typed(keyboard, editor)
        else:
            lines = _read(reporter)
        return await run_until_the_end(
            _entered(session, recorder, reporter),
            reporter,
            lambda: _print_messages(session, options, reporter.status),
            beside=lambda: _send_lines(session, lines),
        )


@contextlib.asynccontextmanager
async def _entered(
    session: Session, recorder: Recorder | None, reporter: Reporter
) -> AsyncGenerator[None]:
    """Enter the session, with what goes on as long as it does."""
    async with contextlib.AsyncExitStack() as stack:
        if recorder is not None:
            await _begin(recorder)
            stack.push_async_callback(_end, recorder, reporter)
        running = [asyncio.create_task(_say_connecting(session, reporter))]
        if reporter.status is not None:
            running.append(asyncio.create_task(reporter.status.run()))
        stack.push_async_callback(_stop, running)
        await stack.enter_async_context(session)
        yield


async def _begin(recorder: Recorder) -> None:
    try:
        await recorder.__aenter__()
    except OSError as failure:
        why = failure.strerror or type(failure).__name__
        raise StreamFailed(f"--record: the file cannot be written: {why}") from None


async def _end(recorder: Recorder, reporter: Reporter) -> None:
    """End the recording, and say if it is not whole."""
    await recorder.__aexit__()
    if recorder.failure is not None:
        why = recorder.failure.strerror or type(recorder.failure).__name__
        await reporter.problem(f"--record: the recording is not whole: {why}")
    elif recorder.skipped:
        missing = f"{recorder.skipped} entries are missing: the disk was too slow"
        await reporter.problem(f"--record: {missing}")


async def _stop(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def _say_connecting(session: Session, reporter: Reporter) -> None:
    """Say that the command connects, if nothing has happened for a second."""
    await asyncio.sleep(_PATIENCE)
    quiet = not (reporter.has_written or reporter.as_json or reporter.status)
    if quiet and session.state in {State.CONNECTING, State.RESTORING}:
        await reporter.problem("connecting...")


async def _print_messages(
    session: Session, options: ListenOptions, status: StatusLine | None
) -> None:
    """Print messages until the count is reached or the session ends."""
    output = LineOutput(sys.stdout.fileno(), "stdout")
    on_terminal = sys.stdout.isatty()
    printer = Printer(
        binary=options.binary,
        pretty=options.pretty,
        timestamps=options.timestamps,
        # A program gets the message as sent. A terminal would obey escapes in it.
        escapes=on_terminal,
    )
    printed = 0
    async for message in session:
        text = printer.text_of(message)
        if status is not None and on_terminal:
            await status.print(text, output)
        else:
            await output.write(text)
        printed += 1
        if printed == options.count:
            return


async def _send_lines(session: Session, lines: AsyncIterator[str]) -> None:
    """Send lines until they end."""
    async for line in lines:
        await session.send(line)


async def _typed(keyboard: Keyboard, editor: LineEditor) -> AsyncIterator[str]:
    """Yield the lines that are typed, until Ctrl-D."""
    async for keys in keyboard.keys():
        for line in editor.take(keys):
            yield line
        if editor.ended:
            return


async def _read(reporter: Reporter) -> AsyncIterator[str]:
    """Yield the lines of stdin until its end; none if there is no stdin."""
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
        yield text
