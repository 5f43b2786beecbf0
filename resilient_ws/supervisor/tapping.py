"""Calls the taps of a session with what passes over one connection.

Rule: a tap is the user's, so its failure must not break the session. It is reported,
and the tap is not called again on that connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from resilient_ws.errors import Fatal
from resilient_ws.traffic import Traffic


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilient_ws.traffic import Tap, TrafficKind


class Tapping:
    """Takes note of the traffic of one connection, for the taps.

    Args:
        taps: The user's callables.
        epoch: The ordinal of the connection.
        clock: Returns the loop's time.
        complain: Called when a tap raised: its name, its purpose, the exception.
        on_fatal: Called with a ``Fatal`` that a tap raised.
    """

    __slots__ = ("_clock", "_complain", "_epoch", "_on_fatal", "_taps")

    def __init__(
        self,
        taps: Sequence[Tap],
        *,
        epoch: int,
        clock: Callable[[], float],
        complain: Callable[[str, str, Exception], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._taps = tuple(taps)
        self._epoch = epoch
        self._clock = clock
        self._complain = complain
        self._on_fatal = on_fatal

    def __call__(
        self,
        data: str | bytes | bytearray | memoryview,
        *,
        sent: bool,
        control: str = "",
        code: int | None = None,
    ) -> None:
        """Call each tap."""
        if not isinstance(data, str):
            # A buffer of the user's may change after this call.
            data = bytes(data)
        kind = control or ("text" if isinstance(data, str) else "binary")
        traffic = Traffic(
            self._clock(), self._epoch, sent, cast("TrafficKind", kind), data, code
        )
        for tap in self._taps:
            try:
                tap(traffic)
            except Fatal as fatal:
                self._give_up(tap)
                self._on_fatal(fatal)
            except Exception as failure:  # noqa: BLE001 - the user's error is reported
                self._give_up(tap)
                self._complain("tap", "Traffic", failure)

    def _give_up(self, failed: Tap) -> None:
        self._taps = tuple(tap for tap in self._taps if tap is not failed)
