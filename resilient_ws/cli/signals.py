"""The signals that end the command."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable

#: Windows has no SIGHUP.
_ENDING_SIGNALS: Final = tuple(
    number
    for number in signal.Signals
    if number.name in {"SIGINT", "SIGTERM", "SIGHUP"}
)


def on_ending_signals(callback: Callable[[], object]) -> None:
    """Make the running loop call back on each signal that ends the command.

    A signal that was ignored when the command started stays ignored, because that is
    what ``nohup`` and a shell's ``&`` ask for.
    """
    loop = asyncio.get_running_loop()
    for number in _ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, callback)
