"""Has this library and its peers judged, and writes what came of it.

    python -m tests.conformance.report [--alone] [--write docs/conformance.md]

Exits with 1 when a verdict on this library is below OK. Cases that no client can pass
or fail count as they are meant, as informational.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import concurrent.futures
import importlib.metadata
import logging
import multiprocessing
import os
import pathlib
import platform
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final

import attrs

from tests.conformance.fuzzing import CLIENTS, COMPRESSED, PLAIN, Verdict, verdicts


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


US: Final = "resilient_ws"
CHAPTERS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "close handshake",
    "9": "limits, performance",
    "10": "automatic fragmentation",
    "12": "compression",
    "13": "compression, parameters",
}
#: How good a verdict can be, the best first: the words of the server that each grade
#: has beyond those of the grades before it.
GRADES: Final = {
    "OK": {"OK"},
    "informational": {"INFORMATIONAL"},
    "non-strict": {"NON-STRICT"},
    "not negotiated": {"UNIMPLEMENTED"},
}
FAILED: Final = "failed"
#: How many clients are judged at a time in the cases of compression.
AT_A_TIME: Final = os.cpu_count() or 1

Judged = dict[str, list[Verdict]]


@attrs.frozen(kw_only=True)
class Run:
    """What came of one run of the command, and the seconds that it took."""

    judged: Judged
    plain_took: float
    compressed_took: float


# --- judging ---------------------------------------------------------------------


def judge(client: str, cases: Sequence[str]) -> list[Verdict]:
    """Have one client judged by a server of its own."""
    # A server that breaks the rules 301 times over is no news here.
    logging.getLogger(US).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(verdicts(client, cases, pathlib.Path(folder)))
    print(f"{client} {' '.join(cases)}: {summary(found)}", flush=True)
    return found


def judge_all(clients: Sequence[str]) -> Run:
    """Run every case against every client."""
    began = time.monotonic()
    # Some of them measure how soon the client answers: nothing else runs beside them.
    judged = {client: judge(client, PLAIN) for client in clients}
    halfway = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(AT_A_TIME, context) as pool:
        jobs = [
            (client, pool.submit(judge, client, [f"{kind}.*"]))
            for kind in COMPRESSED
            for client in clients
        ]
        for client, job in jobs:
            judged[client] += job.result()
    return Run(
        judged=judged,
        plain_took=halfway - began,
        compressed_took=time.monotonic() - halfway,
    )


# --- telling ---------------------------------------------------------------------


def grade(verdict: Verdict) -> str:
    """Say in a word how good a verdict is."""
    said = {verdict.behavior, verdict.close}
    for name, words in GRADES.items():
        said -= words
        if not said:
            return name
    return FAILED


def summary(found: Iterable[Verdict]) -> str:
    """Count verdicts, the good ones first."""
    counts = collections.Counter(map(grade, found))
    return ", ".join(
        f"{counts[word]} {word}" for word in (*GRADES, FAILED) if counts[word]
    )


def cell(found: Sequence[Verdict], chapter: str) -> str:
    """What a client made of one chapter."""
    return summary(v for v in found if v.case.split(".")[0] == chapter)


def exceptions(judged: Judged) -> list[str]:
    """Name every case that is not OK."""
    lines = []
    for client, found in judged.items():
        for word in (FAILED, *reversed(GRADES)):
            cases = [verdict.case for verdict in found if grade(verdict) == word]
            if cases and word != "OK":
                lines.append(f"- {client}, {word}: {', '.join(cases)}")
    return lines


def table(judged: Judged) -> str:
    """Lay out the verdicts by chapter and client."""
    names = [f"{name} {importlib.metadata.version(name)}" for name in judged]
    rows = [
        ["cases", *names],
        ["---"] * (len(names) + 1),
        *(
            [f"{number}, {about}", *(cell(found, number) for found in judged.values())]
            for number, about in CHAPTERS.items()
        ),
        ["**all**", *(f"**{summary(found)}**" for found in judged.values())],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(run: Run) -> str:
    """Tell it all in Markdown."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    listed = "\n".join(exceptions(run.judged)) or "None: every case is OK."
    return f"""# Conformance

`make conformance` has the Autobahn cases run against this library and its peers by
`kosoku` {kosoku_version()}, on one machine, with {python}, and writes this page. Each
case is one connection; the client echoes every message. Every client has a message
limit above the largest case and sends no pings of its own, for cases 12 and 13 take one
for the end of the case. aiohttp is told to offer compression, which the others do by
themselves.

Two things of `kosoku` are mended for cases 12 and 13 (`tests/conformance/judge.py`). It
fails on a message that comes without compression, which RFC 7692 section 6 allows and
this library sends below 256 bytes. And it asks for `client_no_context_takeover` (13.2,
13.5 to 13.7) only where that was offered, which section 7.1.1.2 does not require.

Cases 1 to 10 ran with one client after the other, which took
{minutes(run.plain_took)}; cases 12 and 13 with {AT_A_TIME} at a time, each with a server
of its own, which took {minutes(run.compressed_took)}.

{table(run.judged)}

*OK* is the behaviour that the case asks for; *non-strict* is tolerable, but not that;
*informational* cases have no right answer. A verdict below OK on `resilient_ws` fails
the command. `make test` runs cases 1 to 10, and one of each kind of 12 and 13.

## Not OK

{listed}
"""


def minutes(seconds: float) -> str:
    """Write a duration in minutes and seconds."""
    whole, rest = divmod(round(seconds), 60)
    return f"{whole} min {rest} s"


def kosoku_version() -> str:
    """The version that the Makefile installs."""
    makefile = pathlib.Path(__file__).parents[2] / "Makefile"
    _, _, rest = makefile.read_text().partition("KOSOKU_VERSION := ")
    return rest.split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    run = judge_all([US] if options.alone else list(CLIENTS))
    if options.write is not None:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(page(run))
    failed = [verdict for verdict in run.judged[US] if not verdict.passed]
    for verdict in failed:
        print(f"{US} {verdict.case}: {verdict.behavior}, close {verdict.close}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
