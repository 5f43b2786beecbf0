"""The options of probe, chaos, top and replay."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer


# Of ``probe``.

Watch: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Watch an idle link for so long; 0 to leave that out. Many servers close "
        "one after a minute.",
    ),
]
Within: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0.1, metavar="SECONDS", help="How long each step waits for the server."
    ),
]
BusyMessage: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Send this 50 times, and see whether pings are answered meanwhile.",
    ),
]
JsonReport: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object in place of the report.")
]

# Of ``chaos``.

Listen: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="[HOST:]PORT",
        help="Where to listen; without a host on this machine alone.",
    ),
]
Upstream: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="HOST:PORT|URL", help="The server to pass on to."),
]
Script: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Do what this file says: on each line the seconds and a fault, such as "
        "'10 freeze down', '15 heal' or '30 repeat'.",
    ),
]

# Of ``replay``.

RecordingFile: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="What listen --record has written.")
]
ListenAt: TypeAlias = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="[HOST:]PORT",
        help="Where to listen; 0 for a free port of this machine.",
    ),
]
Speed: TypeAlias = Annotated[
    float,
    typer.Option(metavar="FACTOR", help="How many times as fast as it was; inf too."),
]
Repeat: TypeAlias = Annotated[
    bool, typer.Option("--repeat", help="Begin again after the last connection.")
]

# Of ``top``.

MonitorUrl: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Where the monitor page is, such as http://localhost:8080/."
    ),
]
Once: TypeAlias = Annotated[
    bool, typer.Option("--once", help="Print the table once and exit.")
]
TokenFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="A file with the token of the page, where it wants one."
    ),
]
