"""Holds sessions against a hostile server, and writes what came of it.

    python -m tests.hostile.run [--write docs/security.md] [--json FILE] [--quick]

Exits with 1 when anything stood against us: an error that is not of the tree, something
left behind, a text that cannot be seen; or when a turn of the loop took longer than
``LONGEST`` of CPU time.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from tests.hostile.answers import KNOWN, answer_of
from tests.hostile.client import LOOPS, OPEN
from tests.hostile.server import NAMES


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


ROOT: Final = pathlib.Path(__file__).parent.parent.parent
MIB: Final = 1024 * 1024
SEED: Final = 1
#: How many of each kind are met, with each loop: all of the tables in any case.
COUNTS: Final = {"answers": 600, "streams": 2000, "named": len(NAMES)}
QUICK: Final = {"answers": KNOWN + 45, "streams": 100, "named": len(NAMES)}
#: Seconds of CPU time that a turn of the loop may take, by design.
LONGEST: Final = 0.05
#: Seconds after which a client is ended, whatever it does.
PATIENCE: Final = 600.0

Figures = dict[str, Any]


@contextlib.contextmanager
def hostile_server() -> Iterator[str]:
    """Run the server; give its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
        process.stdin.close()
        # It fails where a script of its own does: then nothing here was proved.
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def meet(
    url: str, kind: str, *, loop: str, count: int, first: int = 0, at_once: int = 1
) -> list[Figures]:
    """Run a client against the server; return what it says."""
    command = [sys.executable, "-m", "tests.hostile.client", kind]
    command += ["--url", url, "--loop", loop, "--seed", str(SEED)]
    command += ["--count", str(count), "--first", str(first)]
    command += ["--at-once", str(at_once)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found: list[Figures] = json.loads(done.stdout)
    return found


def run(counts: dict[str, int]) -> list[Figures]:
    """Meet the server with each loop, one case at a time."""
    found: list[Figures] = []
    with hostile_server() as url:
        for loop in LOOPS:
            for kind, count in counts.items():
                some = meet(url, kind, loop=loop, count=count)
                if kind == "named":
                    for name, one in zip(NAMES, some, strict=True):
                        one["name"] = name
                print(summary(kind, loop, some), flush=True)
                found += some
    return found


def summary(kind: str, loop: str, found: Sequence[Figures]) -> str:
    """Say in a line what came of one kind."""
    return (
        f"{kind} on {loop}: {sum(one['cases'] for one in found)} in "
        f"{sum(one['took'] for one in found):.0f} s, "
        f"{sum(len(one['faults']) for one in found)} faults, longest turn "
        f"{max(one['cpu'] for one in found) * 1000:.0f} ms"
    )


def against_us(found: Sequence[Figures]) -> list[str]:
    """Return all that stands against us."""
    faults = [fault for one in found for fault in one["faults"]]
    faults += [
        f"{_worst(one)} on {one['loop']}: a turn of {one['cpu'] * 1000:.0f} ms"
        for one in found
        if one["cpu"] > LONGEST
    ]
    return faults


def _worst(one: Figures) -> str:
    """Return the name of the case in which a turn of the loop took longest."""
    if one["kind"] == "answers":
        return f"{answer_of(SEED, one['worst']).name!r} (answers)"
    return f"{one['name']!r}" if "name" in one else f"stream {one['worst']}"


# --- the page --------------------------------------------------------------------


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _turn(one: Figures) -> str:
    return f"{one['cpu'] * 1000:.0f} ms ({one['wall'] * 1000:.0f} ms)"


def _memory(one: Figures) -> str:
    return f"{max(one['memory'], 0) / MIB:.1f} MiB"


def whole_table(found: Sequence[Figures]) -> Iterator[str]:
    """Yield the table of what is random: a row for each kind and loop."""
    yield _row("what", "loop", "cases", "against us", "memory", "longest turn")
    yield _row(*["---"] * 2, *["---:"] * 4)
    words = {"answers": "answers to the handshake", "streams": "streams behind it"}
    for one in found:
        if one["kind"] in words:
            yield _row(
                words[one["kind"]],
                one["loop"],
                one["cases"],
                len(one["faults"]),
                _memory(one),
                _turn(one),
            )


def ends_table(found: Sequence[Figures]) -> Iterator[str]:
    """Yield the table of how sessions ended, both loops together."""
    ends: dict[str, collections.Counter[str]] = {}
    for one in found:
        ends.setdefault(one["kind"], collections.Counter()).update(one["ends"])
    yield _row("", *ends)
    yield _row("---", *["---:"] * len(ends))
    for name in sorted({name for counts in ends.values() for name in counts}):
        yield _row(name, *(counts[name] or "" for counts in ends.values()))


def named_table(found: Sequence[Figures]) -> Iterator[str]:
    """Yield the table of the worst streams: a row for each."""
    yield _row(
        "stream", *(f"{loop}: {w}" for loop in LOOPS for w in ("memory", "turn"))
    )
    yield _row("---", *["---:"] * (2 * len(LOOPS)))
    by_name: dict[str, list[Figures]] = {}
    for one in found:
        if one["kind"] == "named":
            by_name.setdefault(one["name"], []).append(one)
    for name, some in by_name.items():
        yield _row(name, *(cell for one in some for cell in (_memory(one), _turn(one))))


def page(found: Sequence[Figures], took: float) -> str:
    """Return the page."""
    faults = against_us(found)
    cases = sum(one["cases"] for one in found)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("aiohttp", "uvloop")
    )
    verdict = (
        "Nothing stood against us."
        if not faults
        else f"{len(faults)} stood against us:\n\n"
        + "\n".join(f"- {fault[:300]}" for fault in faults)
    )
    whole, ends, named = (
        "\n".join(table(found)) for table in (whole_table, ends_table, named_table)
    )
    return f"""# Against a hostile server

Written by `make security` on Python {platform.python_version()} with {versions}; every
figure is of that run ({took / 60:.1f} minutes, seed {SEED}). What is promised, line by
line and with the test of each: [SECURITY.md](../SECURITY.md).

{cases:,} sessions met a server in another process that speaks through raw sockets, one
after the other, each with a consumer that reads what comes. {verdict}

*Against us* counts each error that is not of the tree, each exception that reached the
loop's handler, each warning, each line of the log at ERROR or with a character that
cannot be seen, and each task, socket and thread that was left behind. *Memory* is the
peak of the resident size above what it was before. The *longest turn* is what one turn
of the event loop took at most, in CPU time of its thread and, in brackets, on the clock:
that also counts what else the machine did. By design it is {LONGEST * 1000:.0f} ms.

## At random

Of the answers, {KNOWN} have a name of their own
([tests/hostile/answers.py](../tests/hostile/answers.py)): greetings of other protocols,
odd status lines, headers, extensions, redirects and bodies, and what has no end. The
others are right answers, changed at random. The opening had {OPEN["answers"]:g} s. The
streams ([tests/hostile/random_streams.py](../tests/hostile/random_streams.py)) are valid
and broken frames, half of them where permessage-deflate was agreed on, cut at random and
ended with a FIN, an RST or not at all.

{whole}

How they ended; *open* are those that the session took for a WebSocket server first:

{ends}

## The worst streams

Those of [tests/hostile/streams.py](../tests/hostile/streams.py), each by itself, with
permessage-deflate agreed on. Messages stay below `max_message_size`, and some are
consumed as fast as they come, so that up to 1 GiB passes.

{named}
"""


def main() -> int:
    """Run, write, and say whether anything stood against us."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a part of it")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")
    options = parser.parse_args()
    began = time.monotonic()
    found = run(QUICK if options.quick else COUNTS)
    text = page(found, time.monotonic() - began)
    if options.write is not None:
        options.write.write_text(text)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    faults = against_us(found)
    for fault in faults:
        print(f"AGAINST US: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
