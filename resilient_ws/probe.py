"""What goes to the application in place of a ping, made anew each time if need be.

Rule: a callable that makes it is the user's: it may fail, and breaks nothing by it. A
failure is reported, and there is no probe that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.errors import Fatal
from resilient_ws.policy._validate import check_encodable, require


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.inbox import Message
    from resilient_ws.policy.liveness import Probe


class Prober:
    """Makes probes."""

    __slots__ = ("_complain", "_on_fatal", "_probe")

    def __init__(
        self,
        probe: Probe,
        *,
        complain: Callable[[str, str, Exception], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._probe = probe
        self._complain = complain
        self._on_fatal = on_fatal

    def __call__(self) -> Message | None:
        """Return the next probe, ``None`` when there is none this time."""
        if isinstance(self._probe, str | bytes):
            return self._probe
        try:
            made = self._probe()
            name = "what Liveness.probe returns"
            require(made, (str, bytes), name, "str or bytes")
            if isinstance(made, str):
                check_encodable(name, made)
        except Fatal as fatal:
            self._on_fatal(fatal)
        except Exception as failure:  # noqa: BLE001 - the user's own, reported
            self._complain("probe", "Liveness", failure)
        else:
            return made
        return None
