"""The ``resilient-ws`` command: listen to a feed, or watch a session survive.

The command needs the extra ``cli`` (typer and rich); ``main`` says so if it is missing.
"""

import sys

from resilient_ws.cli.standard import (
    StreamFailed,
    complain,
    drop_unwritten,
    let_go,
    occupy_closed,
    stream_failed,
    unusable,
    write_anything,
)


_MISSING = "The command needs typer and rich: pip install 'resilient-ws[cli]'"
_FAILED = 1
_WRONG = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command and exit.

    Exits with 0 when done, with 1 when the session gave up or a stream failed, and with
    2 for wrong arguments.
    """
    occupy_closed()
    problem = unusable()
    if problem is not None:
        complain(problem)
        sys.exit(_WRONG)
    write_anything()
    code = _run()
    drop_unwritten()
    sys.exit(code)


def _run() -> int:
    try:
        # Imported here, so that this module loads without the extra.
        from resilient_ws.cli.command import run  # noqa: PLC0415

        code = run()
        sys.stdout.flush()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        complain(_MISSING)
        return _WRONG
    except BrokenPipeError:
        # The reader of the output has closed it, which is not an error.
        let_go(sys.stdout, sys.stderr)
        return 0
    except OSError as failure:
        # Errors of files and sockets are handled elsewhere: this one is from printing.
        complain(str(stream_failed("stdout", failure)))
        let_go(sys.stdout, sys.stderr)
        return _FAILED
    except StreamFailed as failure:
        complain(str(failure))
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code
