"""``resilient-ws heads`` and ``resilient-ws logs``: a chain as JSON lines.

Rules: stdout carries one JSON object a line, and everything else is on stderr. The
cursor file never runs ahead of stdout: after a crash, blocks come again, and none is
left out. The network is not touched before all arguments are checked.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import attrs

from resilient_ws import Event, Reconnect, Session
from resilient_ws.cli.chain_json import chain_json
from resilient_ws.cli.lines import LineOutput
from resilient_ws.cli.reporter import Reporter
from resilient_ws.cli.running import run_until_the_end
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.stdio import stream_failed
from resilient_ws.feeds import CursorFile, evm
from resilient_ws.feeds.jsonrpc import Client


if TYPE_CHECKING:
    from collections.abc import Sequence


#: Follows a chain until the end, and returns the exit code.
Follow: TypeAlias = Callable[[], Coroutine[Any, Any, int]]
_Open: TypeAlias = Callable[[Client], evm.ChainStream[Any]]
_Confirmations: TypeAlias = int | Literal["safe", "finalized"]
_Verify: TypeAlias = Literal["hash", "bloom", "receipts"]

#: Bytes of an answer: nodes send up to 32 MiB of logs.
_MAX_ANSWER: Final = 64 * 1024 * 1024
#: Positions of topics in a log.
_MAX_TOPICS: Final = 4
#: Seconds between two writes of the cursor file, while items come without a pause.
_SAVE_EVERY: Final = 1.0


@attrs.frozen(kw_only=True)
class ChainOptions:
    """What the command line says of any chain."""

    server: ServerOptions
    after: str | None
    cursor_file: str | None
    confirmations: str
    with_cursors: bool
    count: int | None
    json_events: bool
    give_up_after: float | None

    def connect(self) -> Session:
        """Return the session, not entered yet.

        Raises:
            SecurityError: The URL would not be encrypted.
            ValueError: Another argument is wrong.
        """
        return self.server.connect(
            reconnect=Reconnect(max_outage=self.give_up_after),
            max_message_size=_MAX_ANSWER,
            wait_open=False,
        )


def heads(options: ChainOptions) -> Follow:
    """Return what prints the blocks of a chain.

    Raises:
        SecurityError: The URL would not be encrypted.
        ValueError: Another argument is wrong.
    """
    after = _start(options)
    wait = _confirmations(options.confirmations)
    return _following(
        options,
        lambda client: evm.heads(client, after=after, confirmations=wait),
    )


def logs(
    options: ChainOptions,
    *,
    addresses: Sequence[str],
    topics: Sequence[str],
    verify: _Verify,
) -> Follow:
    """Return what prints the logs of a chain.

    Raises:
        SecurityError: The URL would not be encrypted.
        ValueError: Another argument is wrong.
    """
    after = _start(options)
    wait = _confirmations(options.confirmations)
    if len(topics) > _MAX_TOPICS:
        raise ValueError(
            f"--topic: a log has at most {_MAX_TOPICS} topics; join those that one "
            "position may have with a comma"
        )
    positions = [None if one == "any" else one.split(",") for one in topics]
    wanted = evm.LogFilter(address=addresses, topics=positions)
    return _following(
        options,
        lambda client: evm.logs(
            client, wanted, verify=verify, after=after, confirmations=wait
        ),
    )


# Reading the arguments.


def _start(options: ChainOptions) -> evm.Cursor | int | None:
    """Return the position to go on from: what was given, or what the file holds."""
    kept = None if options.cursor_file is None else _kept(options.cursor_file)
    if options.after is None:
        return kept
    if kept is not None:
        raise ValueError(
            f"--after: {options.cursor_file} holds a position already; leave --after "
            "out to go on from it, or give another file"
        )
    return _position("--after", options.after)


def _kept(name: str) -> evm.Cursor | int | None:
    """Return what the cursor file holds; ``None`` if it is not there yet."""
    file = pathlib.Path(name)
    if not file.parent.is_dir():
        raise ValueError(f"--cursor-file: there is no folder {file.parent}")
    try:
        text: object = json.loads(file.read_bytes()) if file.exists() else None
    except OSError as failure:
        raise ValueError(f"--cursor-file: {file}: {failure.strerror}") from None
    except (RecursionError, ValueError):
        text = ""
    if text is None:
        return None
    if type(text) is int:  # as a person writes it
        text = str(text)
    return _position(f"--cursor-file: {file}", text if isinstance(text, str) else "")


def _position(where: str, text: str) -> evm.Cursor | int:
    if _is_number(text):
        return int(text)
    try:
        return evm.Cursor.parse(text)
    except ValueError:
        what = "neither a position, as --cursors prints it, nor the number of a block"
        raise ValueError(f"{where}: this is {what}") from None


def _confirmations(text: str) -> _Confirmations:
    if text in {"safe", "finalized"}:
        return cast("Literal['safe', 'finalized']", text)
    if _is_number(text):
        return int(text)
    raise ValueError("--confirmations must be a number, or safe, or finalized")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


# Following.


def _following(options: ChainOptions, open_stream: _Open) -> Follow:
    session = options.connect()

    async def follow() -> int:
        reporter = Reporter(as_json=options.json_events)
        session.on(Event, reporter.event)
        client = Client(session)
        keeper = _Keeper(options.cursor_file)

        async def work() -> None:
            async with open_stream(client) as stream:
                try:
                    await _print(stream, options, keeper)
                finally:
                    await keeper.save()

        return await run_until_the_end(client, reporter, work)

    return follow


async def _print(
    stream: evm.ChainStream[Any], options: ChainOptions, keeper: _Keeper
) -> None:
    output = LineOutput(sys.stdout.fileno(), "stdout")
    printed = 0
    async for item in stream:
        line = chain_json(item, with_cursor=options.with_cursors)
        if line is not None:
            await output.write(line)
            printed += 1
        await keeper.done(stream.cursor, is_last=not stream.lag)
        if printed == options.count:
            return


class _Keeper:
    """Keeps the position of what was printed, in a file if there is one."""

    def __init__(self, path: str | None) -> None:
        self._file = None if path is None else CursorFile(path)
        self._cursor: evm.Cursor | None = None
        self._saved_at = asyncio.get_running_loop().time()

    async def done(self, cursor: evm.Cursor | None, *, is_last: bool) -> None:
        """Take note of what was printed, and save it unless more comes at once."""
        self._cursor = cursor
        elapsed = asyncio.get_running_loop().time() - self._saved_at
        if is_last or elapsed >= _SAVE_EVERY:
            await self.save()

    async def save(self) -> None:
        """Write the position to the file, unless it is there."""
        if self._file is None or self._cursor is None:
            return
        try:
            await self._file.save(str(self._cursor))
        except OSError as failure:
            raise stream_failed("--cursor-file", failure) from None
        self._cursor = None
        self._saved_at = asyncio.get_running_loop().time()
