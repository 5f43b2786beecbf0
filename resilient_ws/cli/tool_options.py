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
