"""The tables of what one connection does, in Markdown."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from benchmarks.speed.clients import PURE, US
from benchmarks.speed.plan import FLOOR, PEERS, VARIANTS
from benchmarks.speed.verdicts import sized


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COLUMNS: Final = (US, PURE, *PEERS, *VARIANTS)
TITLES: Final = {
    "receive": "Receiving",
    "batch": "Receiving batches",
    "segment": "10,000 messages in one write",
    "drip": "One message in 10,000 writes (µs a write)",
    "echo": "Round trip",
    "send": "Sending",
}
PLOTS: Final = {"receive": "receive", "send": "send", "echo": "echo"}
LINKS: Final = {"plain": "plain", "tls": "TLS", "deflate": "compressed"}
BATCHES: Final = (
    "resilient_ws takes all that is there at once (`receive_many`); the others have "
    "nothing of the kind, and take one after the other, as above.\n"
)
DISTANCE: Final = (
    "The floor is a program in C that reads the same bytes from the same server into "
    "one buffer, and looks at none of them: the kernel's work, which nobody can save. "
    "Behind each cost stands how much of it is above the floor. The best peer is the "
    "cheapest of those above. The floor has no event loop, and takes its turns beside "
    "the clients of each.\n"
)
NO_COMPILER: Final = (
    "There was no C compiler (`cc`) on this machine, so the floor was not measured.\n"
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def wire(rows: list[dict[str, Any]]) -> list[str]:
    """One table for each scenario, loop and way, with a column for each client."""
    parts = []
    for name, title in TITLES.items():
        chosen = [row for row in rows if row["scenario"] == name]
        if chosen:
            parts.append(f"## {title}\n")
        if name == "batch" and chosen:
            parts.append(BATCHES)
        for (loop, link), group in itertools.groupby(chosen, _table_of):
            parts.append(f"{loop}, {LINKS[link]}: µs of CPU a message.\n")
            parts.append(costs(list(group)))
        if name in PLOTS and chosen:
            parts.append(f"![{title}](performance/{PLOTS[name]}.png)\n")
    return [*parts, *distance(rows)]


def costs(rows: list[dict[str, Any]]) -> str:
    names = [name for name in COLUMNS if any(row["client"] == name for row in rows)]
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for row in rows:
        place = cells.setdefault((row["kind"], row["size"]), {})
        place.setdefault(row["client"], cost(row))
    return table(
        ["message", *names],
        (
            [f"{kind}, {sized(size)}", *(found.get(name, "") for name in names)]
            for (kind, size), found in cells.items()
        ),
    )


def cost(row: dict[str, Any]) -> str:
    """What one client costs, and how many times what each of ours does."""
    text = f"{row['cpu']:.2f} ({row['least']:.2f}-{row['most']:.2f})"
    text += _times(row, "ratio", "**{:.2f}x**")
    if row["scenario"] in {"echo", "send"}:
        text += f", in {row['wall']:.1f}"
        text += _times(row, "wall_ratio", "{:.2f}x")
    return text


def _times(row: dict[str, Any], what: str, form: str) -> str:
    """The ratio beside the compiled one, and behind a slash beside the pure one."""
    own = {US: (US, PURE), PURE: (PURE,)}.get(row["client"], ())
    ratios = [
        form.format(one[what]) for ours, one in row["beside"].items() if ours not in own
    ]
    return f" {' / '.join(ratios)}" if ratios else ""


def _table_of(row: dict[str, Any]) -> tuple[str, str]:
    return row["loop"], row["link"]


def distance(rows: list[dict[str, Any]]) -> list[str]:
    """How far from the floor each is, where it was played."""
    plain = [
        row
        for row in rows
        if (row["scenario"], row["kind"], row["link"]) == ("receive", "text", "plain")
    ]
    if not plain:
        return []
    head = ["loop, message", "floor", "resilient_ws", "pure", "best peer"]
    found = list(_distances(plain))
    what = [table(head, found)] if found else [NO_COMPILER]
    return ["## Distance to the floor\n", DISTANCE, *what]


def _distances(rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    for (loop, size), group in itertools.groupby(
        rows, lambda row: (row["loop"], row["size"])
    ):
        by_name = {row["client"]: row["cpu"] for row in group}
        if FLOOR not in by_name:
            continue
        floor = by_name[FLOOR]
        best = min((name for name in PEERS if name in by_name), key=by_name.__getitem__)
        yield [
            f"{loop}, {sized(size)}",
            f"{floor:.2f}",
            *(_above(by_name[name], floor) for name in (US, PURE)),
            f"{_above(by_name[best], floor)}, {best}",
        ]


def _above(cpu: float, floor: float) -> str:
    return f"{cpu:.2f} (+{cpu - floor:.2f})"
