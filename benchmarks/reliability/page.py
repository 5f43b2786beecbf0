"""The results as a page, and as JSON beside it."""

from __future__ import annotations

import ast
import collections
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import string
import subprocess
import textwrap
from typing import TYPE_CHECKING, Final

from benchmarks.reliability.situation import CLIENTS, US, USUAL


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.reliability.situation import Outcome, Situation


_HEAD: Final = """\
# Reliability: the same faults, side by side

Written by `make reliability`; every verdict and figure is of that run, and each
single play is in [reliability.json](reliability.json). A row is a fault on a real wire:
network namespaces joined by veth pairs, a server of another hand in one, the library's
client in the other, as a process of its own. What a row does, and how it computes its
verdict, is in `benchmarks/reliability/rows/`: the same code for all libraries.

**✔** the promise of the row was kept in every round, **✘** it was not. Where a
figure is a time, it is the median of the rounds, with the least and the most in
brackets; *never* means: not while the row waited. A *false alarm* is a healthy link
that the client gave up by itself.
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """All plays of one row with one library."""

    row: Situation
    library: str
    outcomes: Sequence[Outcome]

    @property
    def kept(self) -> bool:
        """Whether the promise was kept every time."""
        return all(outcome.kept for outcome in self.outcomes)

    @property
    def false_alarms(self) -> int:
        """Healthy links given up, over all rounds."""
        return sum(outcome.false_alarms for outcome in self.outcomes)


def verdict(result: Result) -> str:
    """What one cell says."""
    kept = sum(outcome.kept for outcome in result.outcomes)
    count = len(result.outcomes)
    mark = "✔" if kept == count else "✘"
    partly = f" ({kept} of {count} kept)" if 0 < kept < count else ""
    by_words = collections.defaultdict[str, list["Outcome"]](list)
    for outcome in result.outcomes:
        by_words[outcome.words].append(outcome)
    told = []
    for words, outcomes in by_words.items():
        times = "" if len(by_words) == 1 else f"{len(outcomes)}x: "
        told.append(times + _filled(words, outcomes))
    return f"{mark}{partly} {'; '.join(told)}"


def _filled(words: str, outcomes: Sequence[Outcome]) -> str:
    told = ""
    for text, name, unit, _ in string.Formatter().parse(words):
        told += text
        if name is not None:
            told += _figure([one.figures[name] for one in outcomes], unit or "s")
    return told


def _figure(values: Sequence[float | None], unit: str) -> str:
    """The median of all rounds, and their spread."""
    seen = [value for value in values if value is not None]
    if not seen:
        return "*never*"
    precision, after = (".0f", "") if unit == "d" else (".1f", f" {unit}")
    low, middle, high = (
        format(f(seen), precision) for f in (min, statistics.median, max)
    )
    spread = f" ({low} to {high})" if low != high else ""
    never = f", *never* {len(values) - len(seen)}x" if len(seen) < len(values) else ""
    return f"{middle}{after}{spread}{never}"


def _table(results: Iterable[Result]) -> Iterable[str]:
    rows = collections.defaultdict[str, dict[str, Result]](dict)
    for result in results:
        rows[result.row.name][result.library] = result
    yield f"| situation | promise | {' | '.join(CLIENTS)} |"
    yield "| --- " * (2 + len(CLIENTS)) + "|"
    for name, cells in rows.items():
        row = next(iter(cells.values())).row
        said = [
            verdict(cells[library]) if library in cells else "" for library in CLIENTS
        ]
        yield f"| {name} | {row.promise} | {' | '.join(said)} |"


def _totals(results: Sequence[Result]) -> Iterable[str]:
    yield "| | promises kept | false alarms | plays |"
    yield "| --- | --- | --- | --- |"
    for library in CLIENTS:
        own = [result for result in results if result.library == library]
        kept = sum(result.kept for result in own)
        alarms = sum(result.false_alarms for result in own)
        plays = sum(len(result.outcomes) for result in own)
        yield f"| {library} | {kept} of {len(own)} | {alarms} | {plays} |"


def _absent(results: Iterable[Result]) -> Iterable[str]:
    rows = {result.row.name: result.row for result in results}
    for row in rows.values():
        for why in dict.fromkeys(row.without.values()):
            libraries = [name for name in row.without if row.without[name] == why]
            yield f"- *{row.name}*, {', '.join(libraries)}: {why}"


def set_up(library: str) -> str:
    """How a library's client is written, as its program says."""
    module = f"benchmarks.reliability.clients.{CLIENTS[library]}"
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.loader is not None
    source = spec.loader.get_source(module)  # type: ignore[attr-defined]
    return ast.get_docstring(ast.parse(source)) or ""


def _settings() -> str:
    return (
        f"A ping after {USUAL.ping_interval:g} s, a pong within"
        f" {USUAL.ping_timeout:g} s, {USUAL.open_timeout:g} s to open,"
        f" {USUAL.close_timeout:g} s to close, no compression, for all alike: small, so"
        " that a row takes seconds. The programs are in"
        " `benchmarks/reliability/clients/`."
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def versions() -> Mapping[str, str]:
    """What took part, by name."""
    node = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=False
    )
    return {
        **{name: _version(name) for name in CLIENTS},
        "Python": platform.python_version(),
        "Linux": platform.release().partition("-")[0],
        "node": node.stdout.strip().removeprefix("v"),
    }


def markdown(results: Sequence[Result], *, took: float) -> str:
    """The page."""
    absent = list(_absent(results))
    parts = [
        _HEAD,
        *_totals(results),
        "",
        *_table(results),
        "",
        "## How each was set up",
        "",
        *textwrap.wrap(_settings(), 88),
        "",
        *(f"**{library}.** {set_up(library)}\n" for library in CLIENTS),
        *(["## Who could not take part", "", *absent, ""] if absent else []),
        "## The run",
        "",
        *textwrap.wrap(", ".join(map(" ".join, versions().items())) + ".", 88),
        f"It took {took / 60:.1f} min on {os.cpu_count()} cores, many rows at a time.",
        "Servers are node's ws, websockets and aiohttp, as `tests/servers` starts",
        "them, without a keepalive of their own.",
        "",
    ]
    return "\n".join(parts)


def as_json(results: Sequence[Result], *, took: float) -> str:
    """Every single play."""
    return (
        json.dumps(
            {
                "versions": versions(),
                "seconds": round(took),
                "plays": [
                    {
                        "situation": result.row.name,
                        "library": result.library,
                        **dataclasses.asdict(outcome),
                    }
                    for result in results
                    for outcome in result.outcomes
                ],
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def write(results: Sequence[Result], page: pathlib.Path, *, took: float) -> None:
    """Write the page, and the JSON beside it."""
    page.write_text(markdown(results, took=took))
    page.with_suffix(".json").write_text(as_json(results, took=took))


def broken(results: Iterable[Result]) -> list[str]:
    """What this library promised and did not keep."""
    return [
        f"{result.row.name}: {verdict(result)}"
        for result in results
        if result.library == US and (not result.kept or result.false_alarms)
    ]
