"""Has this library and its peers judged, and writes what came of it.

    python -m tests.conformance.report [--alone] [--write docs/conformance.md]

Exits with 1 when a verdict on this library is below OK. Cases that no client can pass
or fail count as they are meant, as informational.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import importlib.metadata
import logging
import pathlib
import platform
import sys
import tempfile
from typing import TYPE_CHECKING, Final

from tests.conformance.fuzzing import (
    CLIENTS,
    COMPRESSED,
    FEW_COMPRESSED,
    FEW_FRESH,
    FRESH,
    PLAIN,
    Verdict,
    offers_compression,
    verdicts,
)


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
NOT_RUN: Final = "not run: no compression"

Judged = dict[str, list[Verdict]]


def worse(verdict: Verdict) -> str:
    """Say in a word how good a verdict is."""
    said = {verdict.behavior, verdict.close}
    if "INFORMATIONAL" in said:
        return "informational"
    if "UNIMPLEMENTED" in said:
        return "not negotiated"
    if verdict.passed:
        return "OK"
    return "non-strict" if said <= {"OK", "NON-STRICT"} else "failed"


def summary(found: Iterable[Verdict]) -> str:
    """Count verdicts, the good ones first."""
    counts = collections.Counter(map(worse, found))
    order = ("OK", "informational", "non-strict", "not negotiated", "failed")
    return ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


def chapter(verdict: Verdict) -> str:
    """The first number of a case."""
    return verdict.case.split(".")[0]


def cell(found: Sequence[Verdict], number: str) -> str:
    """What a client made of one chapter."""
    within = [verdict for verdict in found if chapter(verdict) == number]
    return summary(within) if within else NOT_RUN


def exceptions(judged: Judged) -> list[str]:
    """Name every case that is not OK."""
    lines = []
    for client, found in judged.items():
        for word in ("failed", "not negotiated", "non-strict", "informational"):
            cases = [verdict.case for verdict in found if worse(verdict) == word]
            if cases:
                lines.append(f"- {client}, {word}: {', '.join(cases)}")
    return lines


def page(judged: Judged) -> str:
    """Tell it all in Markdown."""
    clients = list(judged)
    names = [f"{name} {importlib.metadata.version(name)}" for name in clients]
    rows = [
        ["cases", *names],
        ["---"] * (len(names) + 1),
        *(
            [f"{number}, {about}", *(cell(judged[name], number) for name in clients)]
            for number, about in CHAPTERS.items()
        ),
        ["**all**", *(f"**{summary(judged[name])}**" for name in clients)],
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    listed = "\n".join(exceptions(judged)) or "None: every case is OK."
    return f"""# Conformance

`make conformance` has the Autobahn cases run against this library and its peers by
`kosoku` {kosoku_version()}, on one machine, with {python}, and writes this page. Each
case is one connection; the client echoes every message. Each client runs with a
message limit above the largest case, and offers compression where it has it.

For cases 12 and 13 the client is set up as its users' is not: every message is
compressed, however small, because `kosoku` {kosoku_version()} fails on a plain one
(RFC 7692 section 6 allows it), and for 13.2, 13.5 and 13.6
`client_no_context_takeover` is offered, without which they do not negotiate (aiohttp
cannot offer it). Of each of their twelve kinds this library runs sizes 1 to 8 and 11
to 13, which is {len(COMPRESSED) + len(FRESH)} of 216 cases: some of the larger
ones did not end within a minute here. The peers run the first of each kind.

{table}

*OK* is the behaviour that the case asks for; *non-strict* is tolerable, but not that;
*informational* cases have no right answer. A verdict below OK on `resilient_ws` fails
the command, and `make test` with it.

## Not OK

{listed}
"""


def kosoku_version() -> str:
    """The version that the Makefile installs."""
    makefile = pathlib.Path(__file__).parents[2] / "Makefile"
    _, _, rest = makefile.read_text().partition("KOSOKU_VERSION := ")
    return rest.split()[0]


async def judge(clients: Sequence[str]) -> Judged:
    """Run every case there is against us, and most of them against the peers."""
    compress = await offers_compression()
    judged = {client: await judge_one(client, compress=compress) for client in clients}
    if not compress:
        print(f"cases 12 and 13 {NOT_RUN}")
    return judged


async def judge_one(client: str, *, compress: bool) -> list[Verdict]:
    """Run the cases against one client, in one server for each kind of offer."""
    kept, fresh = PLAIN, tuple[str, ...]()
    if compress:
        kept += COMPRESSED if client == US else FEW_COMPRESSED
        fresh = FRESH if client == US else FEW_FRESH
    with tempfile.TemporaryDirectory() as folder:
        found = await verdicts(client, kept, pathlib.Path(folder))
    if fresh:
        with tempfile.TemporaryDirectory() as folder:
            found += await verdicts(client, fresh, pathlib.Path(folder), fresh=True)
    print(f"{client}: {summary(found)}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    # A server that breaks the rules 301 times over is no news here.
    logging.getLogger(US).setLevel(logging.CRITICAL)
    judged = asyncio.run(judge([US] if options.alone else list(CLIENTS)))
    if options.write is not None:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(page(judged))
    failed = [verdict for verdict in judged[US] if not verdict.passed]
    for verdict in failed:
        print(f"{US} {verdict.case}: {verdict.behavior}, close {verdict.close}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
