"""Makes the application-level probes that ``Liveness`` sends in place of pings.

Rule: the callable that makes a probe is the user's, so its failure must not break the
session. The failure is reported, and no probe is sent that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.errors import Fatal
from resilient_ws.policy._validate import check_encodable, require


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.policy.liveness import Probe
    from resilient_ws.protocol.message import Message


class Prober:
    """Returns the user's probe, or calls the user's callable for one."""

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
        """Return the next probe, ``None`` if the user's callable failed."""
        if isinstance(self._probe, str | bytes):
            return self._probe
        try:
            made = self._probe()
            name = "the return value of Liveness.probe"
            require(made, (str, bytes), name, "str or bytes")
            if isinstance(made, str):
                check_encodable(name, made)
        except Fatal as fatal:
            self._on_fatal(fatal)
        except Exception as failure:  # noqa: BLE001 - the user's error is reported
            self._complain("probe", "Liveness", failure)
        else:
            return made
        return None
