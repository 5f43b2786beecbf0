"""Draw the measured pages: ``make plots`` writes docs/plots/*.svg.

Each figure is read from the JSON beside its page, and where there is none, from the
tables of the page itself, which its own command wrote.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl


mpl.use("svg")

from matplotlib import pyplot as plt


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

DOCS: Final = Path(__file__).parent.parent
_OURS, _OURS_PURE = "#0b7a64", "#7cbcae"
_OTHERS = ("#8d99ae", "#b8a1c9", "#d9b382", "#c9cfd8")
_GOOD, _KNOWN, _BAD = "#0b7a64", "#e0a83a", "#c0392b"
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "resilient_ws",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def colours(names: Sequence[str]) -> list[str]:
    """Ours stands out, whatever its place; without its compiled part it is paler."""
    others = iter(_OTHERS * 2)
    return [
        _OURS_PURE
        if name.endswith(", pure")
        else _OURS
        if name.startswith(("resilient_ws", "feeds", "bare session", "arrived"))
        else next(others)
        for name in names
    ]


def bars(
    axes: Axes, values: Mapping[str, float], title: str, form: str = "{:,.0f}"
) -> None:
    """A bar for each name, with its figure."""
    names = list(values)
    drawn = axes.barh(names, list(values.values()), color=colours(names))
    axes.bar_label(drawn, [form.format(one) for one in values.values()], padding=4)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.18)


def stacked(axes: Axes, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """For each row, its parts one behind the other, the last of them the worst."""
    shades = (_GOOD, _KNOWN, "#f0d28c", "#d77f4a", _BAD)
    left = dict.fromkeys(rows, 0.0)
    for part, shade in zip(next(iter(rows.values())), shades, strict=False):
        widths = [row[part] for row in rows.values()]
        axes.barh(list(rows), widths, left=list(left.values()), color=shade, label=part)
        for name, row in rows.items():
            left[name] += row[part]
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)


def read(name: str) -> dict[str, Any]:
    """The JSON beside a page."""
    found: dict[str, Any] = json.loads((DOCS / f"{name}.json").read_text())
    return found


def table(page: str, heading: str, column: int) -> dict[str, float]:
    """A column of the first table behind a heading, by the first column."""
    text = (DOCS / f"{page}.md").read_text()
    behind = text[text.index(heading) :]
    rows = re.findall(
        r"^\|(.+)\|$", behind[: behind.find("\n\n", behind.index("\n|"))], re.MULTILINE
    )
    found = {}
    for row in rows[2:]:
        cells = [cell.strip(" *`") for cell in row.split("|")]
        number = re.match(r"[\d,.]+", cells[column])
        if number:
            found[cells[0]] = float(number[0].replace(",", ""))
    return found


def reliability() -> None:
    """Promises kept, healthy links given up, dials at a server that closes at once."""
    kept: dict[str, list[bool]] = defaultdict(list)
    alarms: dict[str, int] = defaultdict(int)
    dials: dict[str, list[float]] = defaultdict(list)
    by_row: dict[tuple[str, str], bool] = {}
    for play in read("reliability")["plays"]:
        name, row = play["library"], play["situation"]
        by_row[name, row] = by_row.get((name, row), True) and play["kept"]
        alarms[name] += play["false_alarms"]
        if row == "Server accepts and closes at once (1011)":
            dials[name].append(play["figures"]["dials"])
    for (name, _), was_kept in by_row.items():
        kept[name].append(was_kept)
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 2.1))
    shares = {name: 100 * sum(rows) / len(rows) for name, rows in kept.items()}
    bars(left, shares, "promises kept", "{:.0f} %")
    bars(middle, {n: alarms[n] for n in kept}, "healthy links\ngiven up")
    middle_of = {name: statistics.median(dials[name]) for name in kept}
    bars(right, middle_of, "dials in 10 s at a server\nthat closes at once")
    middle.set_yticklabels([])
    right.set_yticklabels([])


_PURE, _FLOOR = "resilient_ws, pure", "the floor"
_RECEIVERS: Final = (
    "resilient_ws",
    _PURE,
    "aiohttp",
    "websockets",
    "picows, queue",
    "picows, deque",
    _FLOOR,
)
#: How a line is drawn where it is not a library's own.
_LINES: Final = {_PURE: "--", _FLOOR: ":"}


def speed() -> None:
    """CPU for each message received, by its size."""
    told: dict[str, dict[int, float]] = defaultdict(dict)
    for one in read("performance")["wire"]:
        wanted = ("receive", "asyncio", "plain", "text")
        kind = (one["scenario"], one["loop"], one["link"], one["kind"])
        if kind == wanted and one["client"] in _RECEIVERS:
            told[one["client"]][one["size"]] = one["cpu"]
    figure, axes = plt.subplots(figsize=(8, 4))
    del figure
    told = {name: told[name] for name in _RECEIVERS if name in told}
    shades = [*colours([name for name in told if name != _FLOOR]), "black"]
    for (name, sizes), shade in zip(told.items(), shades, strict=False):
        width = 2.5 if shade in {_OURS, _OURS_PURE} else 1.5
        axes.plot(
            list(sizes),
            list(sizes.values()),
            marker="o",
            color=shade,
            lw=width,
            linestyle=_LINES.get(name, "-"),
            label=name,
        )
    axes.set(xscale="log", yscale="log", xlabel="bytes of a message")
    axes.set_title(
        "µs of CPU to receive a text message (less is better)", loc="left", fontsize=11
    )
    axes.set_xticks(
        [32, 256, 1024, 16384, 1048576], ["32", "256", "1 Ki", "16 Ki", "1 Mi"]
    )
    axes.legend(frameon=False)


def trades() -> None:
    """Trades that a core takes in a second, from the socket to structs."""
    rates = {
        one["client"].replace("`", ""): 1e6 / one["cpu"]
        for one in read("performance")["follow"]
        if one["loop"] == "asyncio"
    }
    size = read("performance")["follow"][0]["size"]
    _, axes = plt.subplots(figsize=(8, 4))
    bars(axes, rates, f"trades of {size} bytes a second of CPU, decoded by msgspec")


def crash() -> None:
    """What became of the messages of a process that was killed 200 times."""
    rows = {}
    for setting, told in read("crash")["settings"].items():
        f = told["figures"]
        rows[setting] = {
            "arrived": f["arrived"],
            "missing: reported": f["missing: reported"],
            "missing: counted at a drop": f["missing: counted at a drop"],
            "missing: in flight at a kill": f["missing: in flight at a kill"],
        }
    _, axes = plt.subplots(figsize=(8, 3.4))
    stacked(axes, rows, "messages accepted, by what became of them (200 kills each)")


def soak() -> None:
    """What became of the messages under random faults."""
    told = table("soak", "| | |", 1)
    rows = {
        "arrived": told["arrived"],
        "reported unsent": told["reported unsent (expired, dropped)"],
        "reported as perhaps delivered": told["reported as perhaps delivered"],
        "counted as unconfirmed": told["written, not arrived, counted as `unconfirmed"],
        "promises broken": told["promises broken"],
    }
    _, axes = plt.subplots(figsize=(8, 2.4))
    title = (
        f"{told['messages sent']:,.0f} messages through {told['faults']:,.0f} faults"
    )
    bars(axes, rows, title)


def conformance() -> None:
    """Autobahn cases that are not OK."""
    text = (DOCS / "conformance.md").read_text()
    rows = dict(re.findall(r"^\| (cases|\*\*all\*\*) \| (.+) \|$", text, re.MULTILINE))
    names, verdicts_of = (rows[key].split(" | ") for key in ("cases", "**all**"))
    missed = {}
    for name, verdicts in zip(names, verdicts_of, strict=True):
        missed[name] = sum(
            int(count) for count in re.findall(r"(\d+) (?:non-strict|failed)", verdicts)
        )
    _, axes = plt.subplots(figsize=(7, 1.9))
    bars(axes, missed, "Autobahn cases that failed, or were answered laxly")


def chains() -> None:
    """Blocks and logs that bots missed on a node that dies and reorganises."""
    missed: dict[str, dict[str, int]] = {
        "blocks": defaultdict(int),
        "logs": defaultdict(int),
    }
    for run in read("chains-shown")["chain"]:
        for by_library in missed.values():
            by_library["feeds"] += len(run["violations"])
        for name, told in run["peers"].items():
            missed["blocks"][name] += told["missed"]
            missed["logs"][name] += told["logs_missed"]
    _, axes = plt.subplots(1, 2, figsize=(9, 2.3))
    for one, (what, values) in zip(axes, missed.items(), strict=True):
        bars(one, values, f"{what} missed, and told by nobody")
    axes[1].set_yticklabels([])


def feeds() -> None:
    """Notifications that a core takes in a second."""
    heading = "## Notifications into one subscription: a trade of"
    _, axes = plt.subplots(figsize=(8, 2.8))
    bars(axes, table("feeds-speed", heading, 2), "notifications a second of CPU")


def outbox() -> None:
    """Messages that 100 senders got onto the disk."""
    rates = {
        one["library"]: statistics.median(r["accepted"] for r in one["rounds"])
        for one in read("outbox")["disk"]
        if one["senders"] == 100
    }
    _, axes = plt.subplots(figsize=(8, 2.4))
    bars(axes, rates, "messages a second onto the disk, from 100 senders")


PLOTS: Final[tuple[Callable[[], None], ...]] = (
    reliability,
    speed,
    trades,
    crash,
    soak,
    conformance,
    chains,
    feeds,
    outbox,
)


def main(folder: Path = DOCS / "plots") -> None:
    """Draw all of them."""
    folder.mkdir(exist_ok=True)
    with plt.rc_context(_STYLE):
        for plot in PLOTS:
            plot()
            # No date: a plot changes when its figures do.
            plt.savefig(folder / f"{plot.__name__}.svg", metadata={"Date": None})
            plt.close("all")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
