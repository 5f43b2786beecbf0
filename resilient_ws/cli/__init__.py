"""The ``resilient-ws`` command: listen to a feed, or watch a session survive.

It needs the extra ``cli`` (typer and rich); ``main`` says so where they are missing.
"""

import sys


_MISSING = "The command needs typer and rich: pip install 'resilient-ws[cli]'"
_INTERRUPTED = 130


def main() -> None:
    """Run the command and exit: 0 for done, 1 for given up, 2 for wrong arguments."""
    try:
        # Here and not above, so that this module loads without the extra.
        from resilient_ws.cli.command import run  # noqa: PLC0415

        code = run()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        print(f"resilient-ws: {_MISSING}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)
