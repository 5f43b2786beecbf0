"""The rows of the table: each module adds its own, in the order of these imports."""

from benchmarks.reliability.rows import dead  # isort: skip
from benchmarks.reliability.rows import alive  # isort: skip
from benchmarks.reliability.rows import dialling  # isort: skip
from benchmarks.reliability.rows import refusals  # isort: skip
from benchmarks.reliability.rows import redirects  # isort: skip
from benchmarks.reliability.rows import callbacks  # isort: skip
from benchmarks.reliability.rows import storm  # isort: skip
from benchmarks.reliability.situation import SITUATIONS


__all__ = [
    "SITUATIONS",
    "alive",
    "callbacks",
    "dead",
    "dialling",
    "redirects",
    "refusals",
    "storm",
]
