"""The ``resilient-ws`` command: listen to a feed, or watch a session survive.

It needs the extra ``cli`` (typer and rich); ``main`` says so where they are missing.
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

    0 for done, 1 for given up or a stream that fails, 2 for wrong arguments.
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
        # Here and not above, so that this module loads without the extra.
        from resilient_ws.cli.command import run  # noqa: PLC0415

        code = run()
        sys.stdout.flush()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        complain(_MISSING)
        return _WRONG
    except BrokenPipeError:
        # Whoever read has had enough.
        let_go(sys.stdout, sys.stderr)
        return 0
    except OSError as failure:
        # Files and sockets have handlers of their own: this is what was printed.
        complain(str(stream_failed("stdout", failure)))
        let_go(sys.stdout, sys.stderr)
        return _FAILED
    except StreamFailed as failure:
        complain(str(failure))
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code
