"""The plots of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.speed.clients import PURE, US
from benchmarks.speed.plan import PEERS
from benchmarks.speed.verdicts import sized


if TYPE_CHECKING:
    import pathlib

mpl.use("Agg")

CLIENTS: Final = (US, PURE, *PEERS)
#: Of one bar, in a group that is one wide with the gap behind it.
WIDTH: Final = 0.14


def draw(result: dict[str, Any], folder: pathlib.Path) -> None:
    for scenario in ("receive", "send", "echo"):
        rows = [row for row in result["wire"] if row["scenario"] == scenario]
        if rows:
            bars(rows, folder / f"{scenario}.png")
    if result.get("crowd"):
        lines(result["crowd"], folder / "crowd.png")


def bars(rows: list[dict[str, Any]], file: pathlib.Path) -> None:
    """What each client costs, as a multiple of ours; a picture for each way."""
    links = list(dict.fromkeys(row["link"] for row in rows))
    figure, axes = plt.subplots(
        len(links), figsize=(9, 3.2 * len(links)), squeeze=False
    )
    for link, axis in zip(links, axes[:, 0], strict=True):
        chosen = [
            row
            for row in rows
            if (row["link"], row["kind"], row["loop"]) == (link, "text", "asyncio")
        ]
        sizes = list(dict.fromkeys(row["size"] for row in chosen))
        for place, name in enumerate(CLIENTS):
            ratios = {
                row["size"]: row["beside"][US]["ratio"]
                for row in chosen
                if row["client"] == name
            }
            axis.bar(
                [sizes.index(size) + place * WIDTH for size in ratios],
                list(ratios.values()),
                width=WIDTH - 0.01,
                label=name,
            )
        axis.axhline(1, color="black", linewidth=0.8)
        middle = (len(CLIENTS) - 1) / 2 * WIDTH
        axis.set_xticks([at + middle for at in range(len(sizes))], map(sized, sizes))
        axis.set_title(f"{link}, text, asyncio")
        axis.set_ylabel("CPU, resilient_ws = 1")
    axes[0, 0].legend(fontsize="small")
    save(figure, file)


def lines(rows: list[dict[str, Any]], file: pathlib.Path) -> None:
    figure, (memory, cpu) = plt.subplots(1, 2, figsize=(9, 3.5))
    for row in rows:
        counts = [one["count"] for one in row["rows"]]
        weights = [one["memory"] * one["count"] / 2**20 for one in row["rows"]]
        memory.plot(counts, weights, marker="o", label=row["client"])
        cpu.plot(
            counts,
            [one["cpu_a_minute"] for one in row["rows"]],
            marker="o",
            label=row["client"],
        )
    memory.set_ylabel("MiB")
    cpu.set_ylabel("seconds of CPU a minute")
    for axis in (memory, cpu):
        axis.set_xlabel("idle connections")
        axis.legend(fontsize="small")
    save(figure, file)


def save(figure: Any, file: pathlib.Path) -> None:  # noqa: ANN401 - matplotlib is not of the checks
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
