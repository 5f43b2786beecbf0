"""The commands, their options, and the errors about wrong arguments.

Rules: a wrong argument is reported in one line on stderr, and the exit code is 2. The
command does not touch the network before all arguments are checked.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

import resilient_ws
from resilient_ws.cli import demo as demo_command, outbox as outbox_command
from resilient_ws.cli.listen import Binary, Listen, listen as run_listen
from resilient_ws.cli.secrets import (
    HEADERS_VARIABLE,
    URL_VARIABLE,
    read_headers,
    read_messages,
    read_url,
)
from resilient_ws.cli.standard import complain
from resilient_ws.cli.words import in_options
from resilient_ws.errors import SecurityError, StoreError


BAD_ARGUMENTS = 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    # Its tracebacks show the values of variables, such as headers.
    pretty_exceptions_enable=False,
    help="Hold a WebSocket session that survives its connections.",
)


def run() -> int:
    """Run the command line, and return the exit code."""
    try:
        result = app(standalone_mode=False, prog_name="resilient-ws")
    except typer.Abort:
        # Typer turns Ctrl-C into Abort and a broken pipe into SystemExit. Turn both
        # back: the caller handles them.
        raise KeyboardInterrupt from None
    except SystemExit:
        raise BrokenPipeError from None
    except Exception as error:
        # Typer raises click's exceptions or those of its own copy of click. Both have
        # this method.
        told = getattr(error, "format_message", None)
        if told is None:
            raise
        # Without any arguments, Typer has already shown the help text.
        message = told().strip()
        if message and not message.startswith("Usage:"):
            complain(message.splitlines()[0])
        return BAD_ARGUMENTS
    return result if isinstance(result, int) else 0


def _show_version(asked: bool) -> None:
    if asked:
        print(f"resilient-ws {resilient_ws.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def listen(
    url: Annotated[
        str | None,
        typer.Argument(
            help="A wss:// or ws:// URL. If it holds a secret, use --url-file or "
            f"{URL_VARIABLE}: other users can read your command line.",
            metavar="[URL]",
        ),
    ] = None,
    *,
    url_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read the URL from a file with one line."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'|@FILE",
            help="Send a header with the handshake, or all headers in a file, one per "
            f"line; repeatable. {HEADERS_VARIABLE} may hold more, one per line.",
        ),
    ] = None,
    subprotocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Offer a subprotocol, best first; repeatable."
        ),
    ] = None,
    on_open: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT|@FILE",
            help="Send this message, or each line of a file, on every new connection, "
            "to log in or subscribe; repeatable. Lines from stdin are sent only once.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Exit after N messages."),
    ] = None,
    binary: Annotated[
        Binary, typer.Option(help="How to print binary messages.")
    ] = Binary.BASE64,
    json_events: Annotated[
        bool,
        typer.Option("--json-events", help="Write events to stderr as JSON objects."),
    ] = False,
    allow_insecure: Annotated[
        bool,
        typer.Option(
            "--allow-insecure",
            help="Allow unencrypted ws:// to other machines.",
        ),
    ] = False,
    give_up_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Give up when an outage lasts longer; never by default.",
        ),
    ] = None,
) -> int:
    """Print the messages of a server, one per line, and send it the lines of stdin.

    Messages go to stdout and everything else to stderr. Lines read while offline are
    kept and sent later. A line break inside a message becomes a space if the message is
    JSON, and a backslash and an n otherwise. Exits with 0 when the count is reached or
    on Ctrl-C, with 1 when the session gave up or stdin or stdout failed, with 2 when an
    argument is wrong. A signal that was ignored at the start (nohup) stays ignored.
    """
    try:
        job = Listen(
            url=read_url(url, url_file),
            headers=read_headers(header or []),
            subprotocols=subprotocol or (),
            on_open=read_messages(on_open or []),
            count=count,
            binary=binary,
            json_events=json_events,
            allow_insecure=allow_insecure,
            give_up_after=give_up_after,
        )
        session = job.connect()
    except (SecurityError, ValueError) as wrong:
        complain(in_options(str(wrong)))
        return BAD_ARGUMENTS
    return asyncio.run(run_listen(job, session))


@app.command()
def outbox(
    file: Annotated[
        str, typer.Argument(help="The file of a SQLiteStore.", metavar="FILE")
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print whole messages, as JSON objects.")
    ] = False,
) -> int:
    """List the messages that wait in a durable outbox, in order, then those set aside.

    Changes nothing, and is safe while a session uses the file. With --json each line is
    a JSON object with the whole message as "text", or as "base64" if it is binary.
    Exits with 2 if the file does not exist or is not an outbox.
    """
    try:
        outbox_command.show(resilient_ws.SQLiteStore(file), as_json=as_json)
    except (StoreError, ValueError) as wrong:
        complain(str(wrong))
        return BAD_ARGUMENTS
    return 0


@app.command()
def demo() -> int:
    """Watch a session survive a server that is killed, frozen, restarted and busy.

    Everything happens on this machine and takes less than half a minute. Exits with 1
    if anything was lost without a report.
    """
    return demo_command.run()
