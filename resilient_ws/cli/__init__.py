"""The ``resilient-ws`` command: listen to a server, or watch a session survive.

The command needs the extra ``cli`` (typer and rich); ``main`` says so if it is missing.
"""

import sys

from resilient_ws.cli.exit_codes import BAD_ARGUMENTS, DONE, FAILED, INTERRUPTED
from resilient_ws.cli.stdio import (
    StreamFailed,
    complain,
    discard_unwritten,
    escape_unencodable,
    flush_stderr,
    occupy_closed_streams,
    problem_with_output,
    stream_failed,
)


_MISSING = "The command needs typer and rich: pip install 'resilient-ws[cli]'"


def main() -> None:
    """Run the command and exit.

    Exits with 0 when done, with 1 when the session gave up or a stream failed, and with
    2 for wrong arguments.
    """
    occupy_closed_streams()
    problem = problem_with_output()
    if problem is not None:
        complain(problem)
        sys.exit(BAD_ARGUMENTS)
    escape_unencodable()
    code = _run()
    flush_stderr()
    sys.exit(code)


def _run() -> int:
    try:
        # Imported here, so that this module loads without the extra.
        from resilient_ws.cli.dispatch import run  # noqa: PLC0415

        code = run()
        sys.stdout.flush()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        complain(_MISSING)
        return BAD_ARGUMENTS
    except BrokenPipeError:
        # The reader of the output has closed it, which is not an error.
        discard_unwritten(sys.stdout, sys.stderr)
        return DONE
    except OSError as failure:
        # Errors of files and sockets are handled elsewhere: this one is from printing.
        complain(str(stream_failed("stdout", failure)))
        discard_unwritten(sys.stdout, sys.stderr)
        return FAILED
    except StreamFailed as failure:
        complain(str(failure))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code
