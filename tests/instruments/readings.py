"""What the in-memory reader of OpenTelemetry's SDK has collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint


if TYPE_CHECKING:
    from collections.abc import Mapping


PREFIX: Final = "resilient_ws."


def points(
    reader: InMemoryMetricReader, name: str
) -> dict[frozenset[tuple[str, Any]], Any]:
    """Return the newest points of a metric, by their attributes.

    A point is its value, or the count and the sum of a histogram.
    """
    data = reader.get_metrics_data()
    found: dict[frozenset[tuple[str, Any]], Any] = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == PREFIX + name:
                    for point in metric.data.data_points:
                        key = frozenset((point.attributes or {}).items())
                        assert key not in found
                        found[key] = (
                            point.value
                            if isinstance(point, NumberDataPoint)
                            else (point.count, point.sum)
                        )
    return found


def point(reader: InMemoryMetricReader, name: str, **own: str) -> Any:
    """Return the one point that has these attributes, dots written as underscores."""
    wanted = {key.replace("__", "."): value for key, value in own.items()}
    (found,) = [
        value for key, value in points(reader, name).items() if _has(dict(key), wanted)
    ]
    return found


def _has(attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(attributes.get(key) == value for key, value in wanted.items())
