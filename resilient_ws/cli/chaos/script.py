"""Reads a script of faults: a time and a fault on each line.

::

    # seconds  fault
    0          delay 0.2
    10         freeze down
    15         heal
    20         reset
    30         repeat
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, cast, get_args

import attrs

from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    Direction,
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


_DIRECTIONS: Final = frozenset(get_args(Direction))
_HEAL: Final = "heal"
_REPEAT: Final = "repeat"
_MOST_LINES: Final = 10_000
_LARGEST: Final = 1024 * 1024


@attrs.frozen
class FaultKind:
    """A fault as it is written: its word, what follows, and how it is made.

    Attributes:
        make: Makes it from its number and its direction.
        number: What its number is, ``""`` if it has none.
        directed: Whether it has a direction.
        default: The number, where none is given; ``None`` where one must be.
    """

    make: Callable[[float, Direction], Fault]
    number: str = ""
    directed: bool = False
    default: float | None = None


KINDS: Final = {
    "blackhole": FaultKind(lambda _, way: BlackHole(way), directed=True),
    "freeze": FaultKind(lambda _, way: Freeze(way), directed=True),
    "delay": FaultKind(Delay, "SECONDS", directed=True, default=0.5),
    "throttle": FaultKind(Throttle, "BYTES_A_SECOND", directed=True, default=1000),
    "dribble": FaultKind(Dribble, "SECONDS", directed=True, default=0.01),
    "cut": FaultKind(lambda size, way: Cut(int(size), way), "BYTES", directed=True),
    "reset": FaultKind(lambda _, __: Reset()),
    "drop": FaultKind(lambda _, __: Drop()),
    "halfclose": FaultKind(lambda _, way: HalfClose(way), directed=True),
    "refuse": FaultKind(lambda _, __: Refuse()),
    "hang": FaultKind(lambda _, __: Hang()),
    "reject": FaultKind(lambda status, _: Reject(int(status)), "STATUS", default=503),
}
#: Faults for which no direction means from the server.
_DOWNWARD: Final = frozenset({"cut", "halfclose"})


@attrs.frozen
class Step:
    """What is done at a time.

    Attributes:
        at: Seconds since the script began.
        text: The fault as it is written.
        fault: The fault, ``None`` to heal.
        repeats: Whether the script begins again.
    """

    at: float
    text: str
    fault: Fault | None = None
    repeats: bool = False


def read_fault(text: str) -> Fault | None:
    """Return the fault of words such as ``freeze down``, ``None`` for ``heal``.

    Raises:
        ValueError: There is no such fault, or a word of it is wrong.
    """
    word, *rest = text.split()
    if word == _HEAL and not rest:
        return None
    kind = KINDS.get(word)
    if kind is None:
        raise ValueError(f"no fault is called {word!r}: {', '.join([*KINDS, _HEAL])}")
    way: Direction = "down" if word in _DOWNWARD else "both"
    if kind.directed and rest and rest[-1] in _DIRECTIONS:
        way = cast("Direction", rest.pop())
    number = kind.default
    if kind.number and rest:
        number = _number(rest.pop(0), word, kind.number)
    if rest:
        raise ValueError(f"{word!r} does not take {rest[0]!r}: {usage(word)}")
    if kind.number and number is None:
        raise ValueError(f"{word!r} needs a number: {usage(word)}")
    try:
        return kind.make(number or 0.0, way)
    except ValueError:
        raise ValueError(f"the number of {word!r} is out of range") from None


def usage(word: str) -> str:
    """Return how a fault is written."""
    kind = KINDS[word]
    number = f" [{kind.number}]" if kind.default is not None else f" {kind.number}"
    return (
        word
        + (number if kind.number else "")
        + (" [up|down|both]" if kind.directed else "")
    )


def _number(text: str, word: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"{what} of {word!r} must be a number, not {text!r}"
        raise ValueError(msg) from None


def read_script(file: str) -> list[Step]:
    """Return the steps of a script, in their order.

    Raises:
        ValueError: It cannot be read, or a line is wrong; the message names the line.
    """
    try:
        with Path(file).open(encoding="utf-8") as opened:
            text = opened.read(_LARGEST)
    except (OSError, ValueError) as failure:
        why = getattr(failure, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"--script: {file} cannot be read: {why}") from None
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines()[:_MOST_LINES], start=1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            steps.append(_step(words, steps))
        except ValueError as wrong:
            raise ValueError(f"--script: line {number} of {file}: {wrong}") from None
    if not steps:
        raise ValueError(f"--script: {file} holds no step")
    return steps


def _step(words: str, before: list[Step]) -> Step:
    at, _, what = words.partition(" ")
    what = " ".join(what.split())
    try:
        seconds = float(at)
    except ValueError:
        raise ValueError("it must begin with a time in seconds") from None
    if before and before[-1].repeats:
        raise ValueError("nothing can follow 'repeat'")
    if not 0 <= seconds < float("inf") or (before and seconds < before[-1].at):
        raise ValueError("its time must not be before that of the line above")
    if not what:
        raise ValueError("a fault must follow the time, such as 'freeze' or 'heal'")
    if what == _REPEAT:
        if not seconds:
            raise ValueError("'repeat' needs a time above 0")
        return Step(seconds, what, repeats=True)
    return Step(seconds, what, read_fault(what))
