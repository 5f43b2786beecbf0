"""The page: ``python -m benchmarks.speed.page docs/performance.json``.

It writes a page beside the figures, and the plots into a folder of their name.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks.speed.clients import is_pure, pure
from benchmarks.speed.plan import FEED_RATE
from benchmarks.speed.tables import table, wire
from benchmarks.speed.verdicts import sized, verdicts


if TYPE_CHECKING:
    from collections.abc import Callable

METHOD: Final = """\
A server in a process of its own writes the same bytes in the same chunks to every
library; each library runs in a process of its own, one at a time, in turns whose
order alternates, so that what disturbs the machine disturbs all. What is shown is the
CPU time of the client for each message, the kernel's on its behalf included: the
median of the rounds, and between which figures they lay.

resilient_ws is measured twice, with its compiled part and without it ("pure", as
`RESILIENT_WS_PURE=1` chooses it); each process says which it runs. A ratio is the
median of those within a round: above 1, ours costs less. Before the slash it is that
beside the compiled one, behind it that beside the pure one. Behind "in" stands the time
that a message took, likewise.

Every message is compared with what was sent before a figure counts. Server and client
are held on a core each: whether they share one decides more than the library.
resilient_ws runs with its defaults (liveness, statistics, bounded inbox) and an event
callback. picows has callbacks alone, and is measured with asyncio's queue behind them,
with a bare deque, and as it is.
"""
FOLLOW: Final = """\
As a user has it: {count:,} trades of {size} bytes of JSON, from the socket to structs
of msgspec, all with the same decoder. `feeds` sees to it that no number is missing; the
others look at none. picows has asyncio's queue behind its callback. The median of the
rounds, and between which figures they lay; behind it, how many times as many as by hand
over aiohttp, the median of that within a round.
"""


def written(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    parts = [
        f"# Speed on {result['python'].rpartition('.')[0]}\n",
        (
            f"Written by `make bench` in {result['seconds']:.0f} s, "
            f"of each row {result['rounds']} rounds at most: "
            f"{result['python']} on {result['system']}, {result['cores']} cores; "
            f"{versions}. The load average of the machine was {load} before it and "
            "after each section; above 2 it had other work than this on its two cores, "
            "and the figures spread.\n"
        ),
        *missed(result),
        "## How\n",
        METHOD,
    ]
    for section, render in SECTIONS.items():
        if result.get(section):
            parts += render(result[section])
    return "\n".join(parts)


def missed(result: dict[str, Any]) -> list[str]:
    found = verdicts(result)
    absent = [name for name in SECTIONS if not result.get(name)]
    parts = ["## Targets\n"]
    if absent:
        parts.append(
            f"Not measured in this run, and not judged: {', '.join(absent)}.\n"
        )
    for twin, title in AIMS.items():
        judged = [verdict for verdict in found if verdict.twin == twin]
        bad = [verdict for verdict in judged if not verdict.met]
        if judged:
            end = ", all but these:" if bad else "."
            parts.append(
                f"{title}: {len(judged) - len(bad)} of {len(judged)} met{end}\n"
            )
            parts += [f"- {v.name}: **{v.said}**. {v.why}".rstrip() for v in bad]
            parts += [""] * bool(bad)
    return parts


def feed(rows: list[dict[str, Any]]) -> list[str]:
    shares = list(rows[0]["ages"])
    return [
        f"## A feed of {FEED_RATE:,} messages a second\n",
        (
            f"{sized(rows[0]['size'])} each, {rows[0]['count']:,} of them for each "
            "client, with the time of sending inside: µs from there to the "
            "consumer.\n"
        ),
        table(
            ["client", *(f"{share} %" for share in shares), "CPU µs a message"],
            (
                [
                    row["client"],
                    *(f"{row['ages'][share]:.0f}" for share in shares),
                    f"{row['cpu']:.2f}",
                ]
                for row in rows
            ),
        ),
    ]


def crowd(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## Idle connections\n",
        (
            "All in one process; memory is the resident size above that of the "
            "process that has had one connection before. The CPU time is that of "
            "three pings and pongs on each, as many as a minute has at the default "
            "interval of 20 s.\n"
        ),
        table(
            ["connections", *(f"{row['client']}: KiB each, CPU" for row in rows)],
            (
                [
                    f"{at[0]['count']:,}",
                    *(
                        f"{one['memory'] / 1024:.1f}, "
                        f"{one['cpu_a_minute'] * 1e3 / one['count']:.2f} ms each"
                        for one in at
                    ),
                ]
                for at in zip(*(row["rows"] for row in rows), strict=True)
            ),
        ),
        "![Idle connections](performance/crowd.png)\n",
        (
            "All connections reset at once, and the server back after 2 s: seconds "
            "from there to the next message on the first, the median and the last "
            "one.\n"
        ),
        table(
            ["client", "connections", "back", "first", "median", "last"],
            (
                _returned(row["client"], row["return"])
                for row in rows
                if "return" in row
            ),
        ),
    ]


def _returned(name: str, back: dict[str, Any]) -> list[str]:
    moments = (back[moment] for moment in ("first", "half", "last"))
    return [
        name,
        f"{back['count']:,}",
        f"{back['back']:,}",
        *("never" if moment is None else f"{moment:.2f}" for moment in moments),
    ]


def recovery(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## From the server's return to the first message\n",
        (
            "After 2 s without a server, as each library's default backoff has it: "
            "resilient_ws jitters fully, so that a fleet does not come in step.\n"
        ),
        table(
            ["client", "connections", "back", "first", "median", "last"],
            (_returned(row["client"], row) for row in rows),
        ),
    ]


def drain(row: dict[str, Any]) -> list[str]:
    rate = row["count"] / row["seconds"]
    return [
        "## Draining an outbox\n",
        (
            f"{row['count']:,} messages of {row['size']} B, queued while offline: "
            f"{row['memory']:.0f} B of memory each, drained at {rate:,.0f} a second "
            f"with {row['cpu']:.2f} µs of CPU each; the loop was held for "
            f"{row['held'] * 1e3:.1f} ms at most.\n"
        ),
    ]


def exchange(row: dict[str, Any]) -> list[str]:
    return [
        "## Requests and replies\n",
        (
            f"{row['count']:,} exchanges of {row['size']} B, one after the other, "
            "with one server of aiohttp for all; the best of the rounds.\n"
        ),
        table(
            ["way", "exchanges a second", "a session is faster by"],
            (
                [way, f"{rate:,.0f}", f"{row['ratio'][way]:.2f}x"]
                for way, rate in row["rate"].items()
            ),
        ),
    ]


def follow(rows: list[dict[str, Any]]) -> list[str]:
    """One table for each loop: a line for each way, a column for each twin."""
    size, count = rows[0]["size"], rows[0]["count"]
    parts = ["## Trades, end to end\n", FOLLOW.format(size=size, count=count)]
    for loop in dict.fromkeys(row["loop"] for row in rows):
        rates = {row["client"]: rate(row) for row in rows if row["loop"] == loop}
        parts.append(f"{loop}, on one core.\n")
        parts.append(
            table(
                ["way", "trades a second", "pure"],
                (
                    [name, found, rates.get(pure(name), "")]
                    for name, found in rates.items()
                    if not is_pure(name)
                ),
            )
        )
    return parts


def rate(row: dict[str, Any]) -> str:
    """How many a second of CPU, between which figures, and beside aiohttp by hand."""
    middle, least, most = (1e6 / row[what] for what in ("cpu", "most", "least"))
    return f"{middle:,.0f} ({least:,.0f}-{most:,.0f}) **{row['gain']:.2f}x**"


#: The targets of each twin apart, and what both share.
AIMS: Final = {
    "compiled": "With the compiled part",
    "pure": "Without it, in pure Python",
    "": "Of both",
}
SECTIONS: Final[dict[str, Callable[[Any], list[str]]]] = {
    "wire": wire,
    "follow": follow,
    "feed": feed,
    "crowd": crowd,
    "recovery": recovery,
    "drain": drain,
    "exchange": exchange,
}


def main() -> None:
    from benchmarks.speed import plots  # noqa: PLC0415 - the page needs no matplotlib

    figures = pathlib.Path(sys.argv[1])
    result = json.loads(figures.read_text())
    folder = figures.with_suffix("")
    # The page of another Python has plots of its own.
    page = written(result).replace("](performance/", f"]({folder.name}/")
    figures.with_suffix(".md").write_text(page)
    folder.mkdir(exist_ok=True)
    plots.draw(result, folder)


if __name__ == "__main__":
    main()
