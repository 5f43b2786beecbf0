"""The application that the commands register with."""

from __future__ import annotations

import typer

from resilient_ws.cli import options


app = typer.Typer(
    no_args_is_help=True,
    # Its tracebacks show the values of variables, such as headers.
    pretty_exceptions_enable=False,
    # The default would keep the line breaks of the docstrings.
    rich_markup_mode="markdown",
    help="Hold a WebSocket session that survives its connections.",
)


@app.callback()
def _before_a_command(*, version: options.Version = False) -> None:
    """Take the options that stand before a command."""
