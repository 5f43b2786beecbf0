"""Runs the command line, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

from typing import Final

import typer

from resilient_ws.cli import command, tool_commands
from resilient_ws.cli.app import app
from resilient_ws.cli.exit_codes import BAD_ARGUMENTS, DONE
from resilient_ws.cli.stdio import complain


#: Importing them has registered their commands with the application.
_COMMANDS: Final = (command, tool_commands)


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
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        # Without any arguments, Typer has already shown the help text.
        message = format_message().strip()
        if message and not message.startswith("Usage:"):
            complain(message.splitlines()[0])
        return BAD_ARGUMENTS
    return result if isinstance(result, int) else DONE
