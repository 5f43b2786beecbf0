"""The commands, and the errors about wrong arguments.

Rules: A wrong argument is reported in one line on stderr, and the exit code is 2. The
command does not touch the network before all arguments are checked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws import SQLiteStore
from resilient_ws.cli import options
from resilient_ws.cli.app import app
from resilient_ws.cli.arguments import read_headers, read_messages, read_url
from resilient_ws.cli.error_text import with_option_names
from resilient_ws.cli.exit_codes import BAD_ARGUMENTS, DONE
from resilient_ws.cli.listen import ListenOptions, listen as run_listen
from resilient_ws.cli.message_text import BinaryFormat
from resilient_ws.cli.outbox import show
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.stdio import complain
from resilient_ws.errors import SecurityError, StoreError


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.cli import chain


@app.command()
def listen(
    url: options.Url = None,
    *,
    url_file: options.UrlFile = None,
    header: options.Header = None,
    subprotocol: options.Subprotocol = None,
    on_open: options.OnOpen = None,
    count: options.Count = None,
    pretty: options.Pretty = False,
    timestamps: options.Timestamps = False,
    binary: options.Binary = BinaryFormat.BASE64,
    record: options.Record = None,
    json_events: options.JsonEvents = False,
    name: options.Name = None,
    ping: options.Ping = None,
    idle: options.Idle = None,
    give_up_after: options.GiveUpAfter = None,
    origin: options.Origin = None,
    cafile: options.CaFile = None,
    proxy: options.Proxy = None,
    allow_insecure: options.AllowInsecure = False,
    version: options.Version = False,
) -> int:
    """Print the messages of a server, one per line, and send it the lines of stdin.

    Messages go to stdout and everything else to stderr. Lines read while offline are
    kept and sent later. A line break inside a message becomes a space if the message is
    JSON, and a backslash and an n otherwise. Exits with 0 when the count is reached or
    on Ctrl-C, with 1 when the session gave up or stdin or stdout failed, with 2 when an
    argument is wrong. A signal that was ignored at the start (nohup) stays ignored.
    """
    del version  # shown before this runs
    try:
        chosen = ListenOptions(
            server=ServerOptions(
                url=read_url(url, url_file),
                headers=read_headers(header or []),
                subprotocols=subprotocol or (),
                origin=origin,
                cafile=cafile,
                proxy=proxy,
                allow_insecure=allow_insecure,
            ),
            on_open=read_messages(on_open or []),
            count=count,
            binary=binary,
            pretty=pretty,
            timestamps=timestamps,
            json_events=json_events,
            give_up_after=give_up_after,
            ping=ping,
            idle=idle,
            name=name,
            record=record,
        )
        session = chosen.connect()
        recorder = chosen.recorder(session)
    except (SecurityError, ValueError) as wrong:
        complain(with_option_names(str(wrong)))
        return BAD_ARGUMENTS
    return asyncio.run(run_listen(chosen, session, recorder))


@app.command()
def heads(
    url: options.Url = None,
    *,
    url_file: options.UrlFile = None,
    header: options.Header = None,
    after: options.After = None,
    cursor_file: options.CursorFileName = None,
    confirmations: options.Confirmations = "0",
    cursors: options.Cursors = False,
    count: options.Count = None,
    json_events: options.JsonEvents = False,
    give_up_after: options.GiveUpAfter = None,
    cafile: options.CaFile = None,
    proxy: options.Proxy = None,
    allow_insecure: options.AllowInsecure = False,
) -> int:
    """Print the blocks of a chain, each once and in order, one JSON object a line.

    A line's "type" is "head", "reorg" (undo the blocks in "removed", newest first), or
    "gap" (what could not be had, and why). With --cursor-file the next run goes on
    where this one ended, and tells first what was reorganised meanwhile. A line is
    printed before its position is saved. Exits as listen does.
    """

    def chosen() -> chain.Follow:
        from resilient_ws.cli import chain  # noqa: PLC0415 - needs the extra "evm"

        chosen = chain.ChainOptions(
            server=ServerOptions(
                url=read_url(url, url_file),
                headers=read_headers(header or []),
                cafile=cafile,
                proxy=proxy,
                allow_insecure=allow_insecure,
            ),
            after=after,
            cursor_file=cursor_file,
            confirmations=confirmations,
            with_cursors=cursors,
            count=count,
            json_events=json_events,
            give_up_after=give_up_after,
        )
        return chain.heads(chosen)

    return _follow(chosen)


@app.command()
def logs(
    url: options.Url = None,
    *,
    address: options.Address = None,
    topic: options.Topic = None,
    verify: options.Verify = options.Verification.BLOOM,
    url_file: options.UrlFile = None,
    header: options.Header = None,
    after: options.After = None,
    cursor_file: options.CursorFileName = None,
    confirmations: options.Confirmations = "0",
    cursors: options.Cursors = False,
    count: options.Count = None,
    json_events: options.JsonEvents = False,
    give_up_after: options.GiveUpAfter = None,
    cafile: options.CaFile = None,
    proxy: options.Proxy = None,
    allow_insecure: options.AllowInsecure = False,
) -> int:
    """Print the logs of a chain, verified, one JSON object for each block with any.

    A line's "type" is "logs", "reorg" (undo its "logs", in their order), or "gap".
    Otherwise as heads.
    """

    def chosen() -> chain.Follow:
        from resilient_ws.cli import chain  # noqa: PLC0415 - needs the extra "evm"

        chosen = chain.ChainOptions(
            server=ServerOptions(
                url=read_url(url, url_file),
                headers=read_headers(header or []),
                cafile=cafile,
                proxy=proxy,
                allow_insecure=allow_insecure,
            ),
            after=after,
            cursor_file=cursor_file,
            confirmations=confirmations,
            with_cursors=cursors,
            count=count,
            json_events=json_events,
            give_up_after=give_up_after,
        )
        return chain.logs(
            chosen, addresses=address or (), topics=topic or (), verify=verify.value
        )

    return _follow(chosen)


def _follow(chosen: Callable[[], chain.Follow]) -> int:
    """Check the arguments, and follow a chain."""
    try:
        follow = chosen()
    except ModuleNotFoundError as missing:
        if missing.name not in {"msgspec", "Crypto"}:
            raise
        complain("This command needs more: pip install 'resilient-ws[cli,evm]'")
        return BAD_ARGUMENTS
    except (SecurityError, ValueError) as wrong:
        complain(with_option_names(str(wrong)))
        return BAD_ARGUMENTS
    return asyncio.run(follow())


@app.command()
def outbox(file: options.StoreFile, *, as_json: options.Json = False) -> int:
    """List the messages that wait in a durable outbox, in order, then those set aside.

    Changes nothing, and is safe while a session uses the file. With --json each line is
    a JSON object with the whole message as "text", or as "base64" if it is binary.
    Exits with 2 if the file does not exist or is not an outbox.
    """
    try:
        show(SQLiteStore(file), as_json=as_json)
    except (StoreError, ValueError) as wrong:
        complain(str(wrong))
        return BAD_ARGUMENTS
    return DONE


@app.command()
def demo() -> int:
    """Watch a session survive a server that is killed, frozen, restarted and busy.

    Everything happens on this machine and takes less than half a minute. Exits with 1
    if anything was lost without a report.
    """
    from resilient_ws.cli.demo.run import run as run_demo  # noqa: PLC0415 - slow

    return run_demo()
