"""The arguments and options of each command: their types, names and help texts."""

from __future__ import annotations

import enum
from typing import Annotated, TypeAlias

import typer

from resilient_ws.cli.arguments import HEADERS_VARIABLE, URL_VARIABLE
from resilient_ws.cli.message_text import BinaryFormat
from resilient_ws.cli.version_text import version_text


class Verification(enum.Enum):
    """The levels of ``logs(verify=...)``."""

    HASH = "hash"
    BLOOM = "bloom"
    RECEIPTS = "receipts"


def _show_version(asked: bool) -> None:
    if asked:
        print(version_text())
        raise typer.Exit


Version: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Show the version, and whether compiled parts run, and exit.",
    ),
]

# Of ``listen``.

Url: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        help="A wss:// or ws:// URL. If it holds a secret, use --url-file or "
        f"{URL_VARIABLE}: other users can read your command line.",
        metavar="[URL]",
    ),
]
UrlFile: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Read the URL from a file with one line."),
]
Header: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'NAME: VALUE'|@FILE",
        help="Send a header with the handshake, or all headers in a file, one per "
        f"line; repeatable. {HEADERS_VARIABLE} may hold more, one per line.",
    ),
]
Subprotocol: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Offer a subprotocol, best first; repeatable."),
]
OnOpen: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT|@FILE",
        help="Send this message, or each line of a file, on every new connection, "
        "to log in or subscribe; repeatable. Lines from stdin are sent only once.",
    ),
]
Count: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Exit after N messages."),
]
Binary: TypeAlias = Annotated[
    BinaryFormat, typer.Option(help="How to print binary messages.")
]
JsonEvents: TypeAlias = Annotated[
    bool,
    typer.Option("--json-events", help="Write events to stderr as JSON objects."),
]
AllowInsecure: TypeAlias = Annotated[
    bool,
    typer.Option("--allow-insecure", help="Allow unencrypted ws:// to other machines."),
]
Pretty: TypeAlias = Annotated[
    bool, typer.Option("--pretty", help="Indent messages that are JSON.")
]
Timestamps: TypeAlias = Annotated[
    bool,
    typer.Option("--timestamps", help="Print the time (UTC) before each message."),
]
Ping: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Ping so often (20); 0 sends no pings and expects no answers.",
    ),
]
Idle: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Reconnect when no message came for so long."),
]
Name: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Begin each line on stderr with this name."),
]
Record: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Record all that passes, for replay; .zst compresses. Secrets are hidden, "
        "as far as they look like it.",
    ),
]
GiveUpAfter: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Give up when an outage lasts longer; never by default."
    ),
]

CaFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cafile",
        metavar="FILE",
        help="Trust the issuers in this PEM file, in place of the system's.",
    ),
]
Proxy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL|env",
        help="Dial through this http, https, socks4 or socks5 proxy, or the one that "
        "the environment names.",
    ),
]
Origin: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The Origin header, for servers that want one."),
]

# Of ``heads`` and ``logs``.

After: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="CURSOR|NUMBER",
        help="Go on after this position, or after the block of this number.",
    ),
]
CursorFileName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cursor-file",
        metavar="FILE",
        help="Go on from the position in this file, and keep it there.",
    ),
]
Cursors: TypeAlias = Annotated[
    bool,
    typer.Option("--cursors", help="Add its position to each line, for --after."),
]
Confirmations: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="N|safe|finalized",
        help="Hold a block back until so many have followed it.",
    ),
]
Address: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="0x...", help="Logs of this contract; repeatable."),
]
Topic: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="0x...[,0x...]|any",
        help="What is wanted at the first position, then at the next; repeatable.",
    ),
]
Verify: TypeAlias = Annotated[
    Verification,
    typer.Option(help="How a node is made to prove that it left no log out."),
]

# Of ``outbox``.

StoreFile: TypeAlias = Annotated[
    str, typer.Argument(help="The file of a SQLiteStore.", metavar="FILE")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print whole messages, as JSON objects.")
]
