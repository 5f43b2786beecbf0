"""What a session measured, in three spans of a fixed number of samples.

Rules: a span keeps its newest ``LENGTH`` samples. The samples of a longer span are
merged from those of the shorter one, so a session costs the same memory after a day as
after a month. A rate is merged to its mean, a depth or a time to its worst.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


#: Samples that each span keeps.
LENGTH: Final = 120
#: The name of each span, and how many samples of the span before make one of it. At one
#: sample a second they reach back 2 minutes, 30 minutes and 24 hours.
SPANS: Final = {"2m": 1, "30m": 15, "24h": 48}

#: Above this share of a sample without a connection, the strip calls it down.
_MOSTLY: Final = 0.5


class Sample(NamedTuple):
    """What happened between two looks at a session.

    Attributes:
        at: When it ended, in Unix seconds.
        seconds: How long it was.
        down: The share of it without an open connection; NaN while the session was not
            running.
        waiting: The share of it spent waiting for the next attempt.
        latency: The round trip of the newest ping, in seconds; NaN if there was none.
        received: Messages a second, as ``sent``.
        sent: The other way.
        bytes_received: Bytes a second, as ``bytes_sent``.
        bytes_sent: The other way.
        inbox: Messages that waited to be read.
        outbox: Messages that waited to be sent.
        gaps: Holes in feeds that could not be filled.
    """

    at: float
    seconds: float
    down: float
    waiting: float
    latency: float
    received: float
    sent: float
    bytes_received: float
    bytes_sent: float
    inbox: float
    outbox: float
    gaps: float


#: As samples are kept: 52 bytes each instead of 400.
_PACKED: Final = struct.Struct("=d11f")
#: The fields of a sample that are merged to their mean, and to their worst.
_MEANS: Final = (
    "down",
    "waiting",
    "received",
    "sent",
    "bytes_received",
    "bytes_sent",
)
_WORST: Final = ("latency", "inbox", "outbox")


class Series:
    """The samples of one session."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans = [_Span(every) for every in SPANS.values()]

    def add(self, sample: Sample) -> None:
        """Keep a sample, and merge it into the longer spans."""
        for span in self._spans:
            kept = span.add(sample)
            if kept is None:
                return
            sample = kept

    def samples(self, span: str) -> list[Sample]:
        """Return the samples of a span, oldest first."""
        return self._spans[list(SPANS).index(span)].samples()

    def strip(self, span: str) -> str:
        """Return one letter for each sample of a span, oldest first.

        ``o`` is open, ``p`` partly down, ``d`` mostly down, ``x`` not running.
        """
        return self._spans[list(SPANS).index(span)].strip


class _Span:
    """One span: its samples, and those of the span before that are not merged yet."""

    __slots__ = ("_every", "_kept", "_unmerged", "strip")

    def __init__(self, every: int) -> None:
        self._every = every
        self._kept: deque[bytes] = deque(maxlen=LENGTH)
        self._unmerged: list[Sample] = []
        self.strip = ""

    def add(self, sample: Sample) -> Sample | None:
        """Take a sample of the span before; return the one that was kept, if any."""
        if self._every > 1:
            self._unmerged.append(sample)
            if len(self._unmerged) < self._every:
                return None
            sample = merged(self._unmerged)
            self._unmerged.clear()
        self._kept.append(_PACKED.pack(*sample))
        self.strip = (self.strip + _letter(sample.down))[-LENGTH:]
        return sample

    def samples(self) -> list[Sample]:
        """Return what was kept, oldest first."""
        return [Sample._make(_PACKED.unpack(packed)) for packed in self._kept]


def merged(samples: Sequence[Sample]) -> Sample:
    """Return one sample for several that follow each other."""
    seconds = sum(sample.seconds for sample in samples)
    fields = {
        **{name: _mean(_pairs(samples, name)) for name in _MEANS},
        **{name: _worst(getattr(one, name) for one in samples) for name in _WORST},
    }
    gaps = sum(sample.gaps for sample in samples)
    return Sample(at=samples[-1].at, seconds=seconds, gaps=gaps, **fields)


def _pairs(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    """Return the values of a field that are numbers, each with its seconds."""
    pairs = [(getattr(sample, name), sample.seconds) for sample in samples]
    return [pair for pair in pairs if not math.isnan(pair[0])]


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    total = sum(seconds for _, seconds in pairs)
    if not total:
        return math.nan
    return sum(value * seconds for value, seconds in pairs) / total


def _worst(values: Iterable[float]) -> float:
    return max((one for one in values if not math.isnan(one)), default=math.nan)


def _letter(down: float) -> str:
    if math.isnan(down):
        return "x"
    if down <= 0:
        return "o"
    return "p" if down < _MOSTLY else "d"
