"""What goes wrong in a run, and when: drawn from the seed before it begins.

A fault is *lethal* when a connection that it meets may not survive it, and *mild* when
every connection must. Those of one place come one after the other, with a pause
between them, so that what happens in the pause has no excuse.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs

from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    Dribble,
    Drop,
    Fault,
    Freeze,
    HalfClose,
    Hang,
    Refuse,
    Reject,
    Reset,
    Throttle,
)


#: A link that is silent for their sum is dead: mild faults are well below it.
PING_INTERVAL: Final = 2.0
PING_TIMEOUT: Final = 4.0
_MILD: Final = (0.5, 2.5)
_LETHAL: Final = (9.0, 12.0)
_SHORT: Final = (0.5, 4.0)
_ONCE: Final = (0.0, 0.0)

Deed: TypeAlias = Literal["kill -9", "SIGTERM", "SIGSTOP"]


@attrs.frozen(kw_only=True)
class Act:
    """One fault at one place.

    Attributes:
        at: Seconds since the run began.
        lasts: Seconds.
        where: ``session 1`` for the proxy before that session, or ``server node``.
        lethal: Whether a connection that it meets may be lost.
        faults: What the proxy is told.
        deed: What is done to the server.
    """

    at: float
    lasts: float
    where: str
    lethal: bool
    faults: tuple[Fault, ...] = ()
    deed: Deed | None = None

    @property
    def name(self) -> str:
        """What it is, in a word or two."""
        if self.deed is not None:
            return self.deed if self.lethal else f"{self.deed}, short"
        name = " + ".join(type(fault).__name__ for fault in self.faults)
        return (
            name if self.lethal or not name.startswith("Freeze") else f"{name}, short"
        )

    def __str__(self) -> str:
        """Show it as a line of a script."""
        what = self.deed or ", ".join(map(str, self.faults))
        return f"{self.at:8.2f} s  {self.where:18} for {self.lasts:5.2f} s  {what}"


@attrs.frozen
class _Kind:
    """A kind of fault: whether it kills, how long it lasts, and how it is drawn."""

    lethal: bool
    lasts: tuple[float, float]
    draw: Callable[[random.Random], tuple[Fault, ...]]


def _direction(rng: random.Random) -> Literal["up", "down", "both"]:
    return rng.choice(("up", "down", "both"))


def _cut(rng: random.Random) -> tuple[Fault, ...]:
    how: Literal["reset", "drop"] = rng.choice(("reset", "drop"))
    after = rng.choice((0, 1, 7, rng.randrange(400), rng.randrange(20_000)))
    return (Cut(after, direction=_direction(rng), how=how),)


def _reject(rng: random.Random) -> tuple[Fault, ...]:
    status, retry_after = rng.choice(((503, None), (502, None), (429, 1)))
    return Reset(), Reject(status, retry_after=retry_after)


_AT_PROXY: Final = (
    _Kind(True, _ONCE, lambda _: (Reset(),)),
    _Kind(True, _ONCE, lambda _: (Drop(),)),
    _Kind(True, _ONCE, lambda rng: (HalfClose(_direction(rng)),)),
    _Kind(True, _SHORT, _cut),
    _Kind(True, _SHORT, _cut),
    _Kind(True, _LETHAL, lambda rng: (BlackHole(_direction(rng)),)),
    _Kind(True, _LETHAL, lambda rng: (Freeze(_direction(rng)),)),
    _Kind(True, _SHORT, lambda _: (Reset(), Refuse())),
    _Kind(True, _SHORT, _reject),
    _Kind(True, _SHORT, lambda _: (Reset(), Hang())),
    _Kind(False, _MILD, lambda rng: (Freeze(_direction(rng)),)),
    _Kind(False, _SHORT, lambda rng: (Delay(rng.uniform(0.05, 0.8), _direction(rng)),)),
    _Kind(
        False, _SHORT, lambda rng: (Throttle(rng.uniform(8e3, 6e4), _direction(rng)),)
    ),
    _Kind(False, _SHORT, lambda rng: (Dribble(0.0, _direction(rng)),)),
)

_AT_SERVER: Final[tuple[tuple[Deed, bool, tuple[float, float]], ...]] = (
    ("kill -9", True, _SHORT),
    ("SIGTERM", True, _SHORT),
    ("SIGSTOP", True, _LETHAL),
    ("SIGSTOP", False, _MILD),
)


def at_session(number: int, *, seed: int, seconds: float) -> list[Act]:
    """Draw what happens before one session."""
    rng = random.Random(f"{seed} session {number}")
    where = f"session {number}"
    script: list[Act] = []
    at = rng.uniform(2.0, 6.0)
    while at < seconds:
        kind = rng.choice(_AT_PROXY)
        lasts = rng.uniform(*kind.lasts)
        script.append(
            Act(
                at=at,
                lasts=lasts,
                where=where,
                lethal=kind.lethal,
                faults=kind.draw(rng),
            )
        )
        at += lasts + rng.uniform(3.0, 8.0)
    return script


def at_server(name: str, *, seed: int, seconds: float) -> list[Act]:
    """Draw what is done to one server."""
    rng = random.Random(f"{seed} server {name}")
    script: list[Act] = []
    at = rng.uniform(5.0, 20.0)
    while at < seconds:
        deed, lethal, bounds = rng.choice(_AT_SERVER)
        lasts = rng.uniform(*bounds)
        script.append(
            Act(at=at, lasts=lasts, where=f"server {name}", lethal=lethal, deed=deed)
        )
        at += lasts + rng.uniform(15.0, 40.0)
    return script
