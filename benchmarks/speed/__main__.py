"""The command: ``python -m benchmarks.speed [--quick] [--only WORD] [--json FILE]``.

With ``--only`` and a file that is there, what else it holds stays; ``--rounds`` makes a
run that is shorter and says less.

It prints every figure as it comes, and ends with 1 when a message was lost, doubled or
changed. A target that is missed is no failure of the command: the page tells of it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.speed import crowd, drain, exchange, follow, recovery
from benchmarks.speed.compare import Arena
from benchmarks.speed.plan import cells, feed_cells


if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

LIBRARIES = ("resilient_ws", "aiohttp", "websockets", "picows", "uvloop", "zlib-ng")


def machine() -> dict[str, Any]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": versions,
    }


def wire(options: argparse.Namespace) -> dict[str, Any]:
    """Compare all that one connection does."""
    rows: list[dict[str, Any]] = []
    with Arena() as arena:
        for cell in (*cells(quick=options.quick), *feed_cells(quick=options.quick)):
            if options.only in ("", "wire", cell.scenario):
                rounds = min(cell.rounds, options.rounds)
                for row in arena.compare(attrs.evolve(cell, rounds=rounds)):
                    rows.append(row)
                    print(shown(row), flush=True)
    return {
        "wire": [row for row in rows if row["scenario"] != "feed"],
        "feed": [row for row in rows if row["scenario"] == "feed"],
    }


def merged(before: Any, found: Any) -> Any:  # noqa: ANN401 - JSON
    """Put what was measured in the place of the same, and leave the rest."""
    if not (isinstance(before, list) and found and "scenario" in found[0]):
        return found or before
    measured = {row["scenario"] for row in found}
    return [row for row in before if row["scenario"] not in measured] + found


def shown(row: dict[str, Any]) -> str:
    beside = "".join(f"  {judgement(one)}" for one in row["beside"].values())
    return (
        f"{row['scenario']:<8}{row['loop']:<8}{row['link']:<8}{row['kind']:<7}"
        f"{row['size']:>8}  {row['client']:<33}{row['cpu']:>8.2f} µs"
        f"   {row['least']:>8.2f} - {row['most']:<8.2f}{beside}"
    ).rstrip()


def judgement(one: dict[str, Any]) -> str:
    verdict = {None: "", True: "met", False: "missed"}[one["met"]]
    target = "" if one["target"] is None else f">= {one['target']:.2f}x"
    return f"{one['ratio']:>6.2f}x {target:<8} {verdict:<6}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.speed")
    parser.add_argument("--quick", action="store_true", help="few messages, one round")
    parser.add_argument("--rounds", type=int, default=7, help="of a row, at most")
    parser.add_argument("--only", default="", help="one scenario, such as receive")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.only and options.json is not None and options.json.exists():
        # One section is measured again, and the others stay.
        result = json.loads(options.json.read_text())
    result |= {"quick": options.quick, **machine(), "load": [os.getloadavg()[0]]}
    result["rounds"] = 1 if options.quick else options.rounds
    began = time.monotonic() - result.get("seconds", 0)
    for name, section in SECTIONS.items():
        if options.only in ("", name) or (name == "wire" and options.only in WIRE):
            for key, found in section(options).items():
                result[key] = merged(result.get(key), found)
        result["load"].append(os.getloadavg()[0])
        result["seconds"] = time.monotonic() - began
        # What has been measured is not lost with what comes after it.
        if options.json is not None:
            options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['seconds']:.0f} s in all")


def apart(section: ModuleType) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """What a module measures, under its name."""
    name = section.__name__.rpartition(".")[2]

    def measure(options: argparse.Namespace) -> dict[str, Any]:
        found = {name: section.measure(quick=options.quick)}
        print(json.dumps(found, indent=1), flush=True)
        return found

    return measure


WIRE = ("receive", "batch", "segment", "drip", "echo", "send", "feed")
SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "wire": wire,
    "follow": apart(follow),
    "exchange": apart(exchange),
    "drain": apart(drain),
    "recovery": apart(recovery),
    "crowd": apart(crowd),
}


if __name__ == "__main__":
    main()
