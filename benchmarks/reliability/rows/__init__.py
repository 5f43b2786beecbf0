"""The rows of the table: each module adds its own, in the order of these imports."""

from benchmarks.reliability.rows import dead
from benchmarks.reliability.situation import SITUATIONS


__all__ = ["SITUATIONS", "dead"]
