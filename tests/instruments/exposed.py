"""What Prometheus sees of the table: names of samples, and of labels."""

from __future__ import annotations

import re
from typing import Final

from resilient_ws.instruments import METRICS, Kind
from resilient_ws.instruments.metric import WHERE, label


#: Every name that a sample may have.
SAMPLES: Final = frozenset(
    metric.prometheus_name + suffix
    for metric in METRICS
    for suffix in (
        ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
    )
)
LABELS: Final = frozenset(
    label(attribute) for metric in METRICS for attribute in (*WHERE, *metric.attributes)
)

_OURS: Final = re.compile(r"\b(?:resilient_ws|server|network_io|error)_\w+")


def names_in(expression: str) -> set[str]:
    """Return the names of ours in an expression, labels included."""
    # What is quoted is a value.
    return set(_OURS.findall(re.sub(r'"[^"]*"', "", expression)))
