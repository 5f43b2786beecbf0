"""``resilient-ws replay``: serve a recording."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs

from resilient_ws.cli.exit_codes import DONE, FAILED
from resilient_ws.cli.lines import LineOutput
from resilient_ws.cli.screen import Colour, Screen
from resilient_ws.cli.status_line import StatusLine
from resilient_ws.cli.stdio import complain
from resilient_ws.cli.stopping import until_stopped
from resilient_ws.recording import Replay


if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


@attrs.frozen(kw_only=True)
class ReplayOptions:
    """What the command line says."""

    file: str
    listen: tuple[str, int]
    speed: float
    repeat: bool


async def replay(options: ReplayOptions) -> int:
    """Serve a recording until it was played, and return the exit code."""
    host, port = options.listen
    served = Replay(
        options.file,
        host=host,
        port=port,
        speed=options.speed,
        repeat=options.repeat,
    )
    try:
        async with served:
            await _run(served)
    except ValueError as wrong:
        complain(str(wrong))
        return FAILED
    except OSError as failure:
        why = failure.strerror or type(failure).__name__
        is_of_file = failure.filename is not None
        where = "read" if is_of_file else f"served at {host}:{port}"
        complain(f"{options.file} cannot be {where}: {why}")
        return FAILED
    return DONE


async def _run(served: Replay) -> None:
    output = LineOutput(sys.stdout.fileno(), "stdout")
    screen = Screen(sys.stdout)
    noun = "connection" if served.connections == 1 else "connections"
    await output.write(f"{served.url} plays {served.connections} {noun}")
    works: list[Coroutine[Any, Any, object]] = [served.over()]
    if screen.is_terminal:
        works.append(
            StatusLine(_ReplayStatus(served, screen).text, output, screen).run()
        )
    await until_stopped(*works)
    await output.write(f"{served.sent:,} messages were sent")


class _ReplayStatus:
    """What the status line says."""

    def __init__(self, served: Replay, screen: Screen) -> None:
        self._served = served
        self._screen = screen

    def text(self, width: int) -> str:
        """Return the line."""
        served = self._served
        if served.begun == served.played:
            text = f"waiting for a client ({served.played} of {served.connections})"
            return self._screen.coloured(text[:width], Colour.DOUBTFUL)
        text = (
            f"playing {served.begun} of {served.connections}, {served.sent:,} messages"
        )
        return self._screen.coloured(text[:width], Colour.GOOD)
