"""What a probe finds out, step by step."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

import attrs


class Grade(enum.StrEnum):
    """How good a finding is."""

    OK = "ok"
    #: Worth knowing; a setting may depend on it.
    NOTE = "note"
    #: A session cannot work, or will not for long.
    BAD = "bad"


@attrs.frozen
class Finding:
    """One thing that was found out.

    Attributes:
        step: The step, such as ``TCP``.
        grade: How good it is.
        text: What was found, in words.
        remedy: What to do about it, if anything.
    """

    step: str
    grade: Grade
    text: str
    remedy: str = ""


@attrs.define
class SuitableSettings:
    """The settings that suit the server, as options and as arguments of ``connect``.

    Attributes:
        ping: ``--ping``: seconds between pings; 0 for none; ``None`` for the default.
        ping_timeout: Whether pongs may be waited for.
        idle: ``--idle``: seconds without a message until the link is useless.
        subprotocol: ``--subprotocol``.
        reasons: Why, a sentence each.
    """

    ping: float | None = None
    ping_timeout: bool = True
    idle: float | None = None
    subprotocol: str | None = None
    reasons: list[str] = attrs.field(factory=list[str])

    @property
    def options(self) -> str:
        """The options of ``resilient-ws listen``."""
        parts: list[str] = []
        if not self.ping_timeout:
            parts.append("--ping 0")
        elif self.ping is not None:
            parts.append(f"--ping {self.ping:g}")
        if self.idle is not None:
            parts.append(f"--idle {self.idle:g}")
        if self.subprotocol is not None:
            parts.append(f"--subprotocol {self.subprotocol}")
        return " ".join(parts)

    @property
    def arguments(self) -> str:
        """The arguments of ``connect``."""
        parts: list[str] = []
        if self.subprotocol is not None:
            parts.append(f"subprotocols=[{self.subprotocol!r}]")
        liveness: list[str] = []
        if self.ping is not None:
            liveness.append(f"ping_interval={self.ping:g}")
        if not self.ping_timeout:
            liveness.append("ping_timeout=None")
        if self.idle is not None:
            liveness.append(f"idle_timeout={self.idle:g}")
        if liveness:
            parts.append(f"liveness=Liveness({', '.join(liveness)})")
        return ", ".join(parts)


#: Takes each finding as soon as there is one.
Found: TypeAlias = Callable[[Finding], None]
