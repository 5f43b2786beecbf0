"""The page of the campaigns: each writes its own section, and leaves the others."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterable


#: The sections in their order.
TITLES: Final = {
    "calls": "Calls over a link that is cut every second",
    "returns": "1,000 subscriptions come back",
    "slow": "A slow consumer beside 99 quick ones",
    "floods": "Floods",
}

_HEAD: Final = """\
# Feeds under strain

Written by `make feeds`; `make feeds ARGS=calls` writes one section. Every figure is of
the run that its section names. Each server is a process of its own, on the `websockets`
library, and each link goes through `resilient_ws.testing.FaultProxy` over real sockets,
where it says so. A campaign that breaks a promise exits with 1, and says so here.
"""


@attrs.frozen(kw_only=True)
class Section:
    """What a campaign has to say.

    Attributes:
        name: The campaign.
        options: What the command was given, to run the same again.
        text: What was done, and what was seen, as Markdown.
        faults: The promises that were broken.
        seconds: How long it took.
        load: The load average of the machine before it, and after.
    """

    name: str
    options: str
    text: str
    faults: Sequence[str]
    seconds: float
    load: tuple[float, float]

    def markdown(self) -> str:
        """The section, without an end of line."""
        before, after = self.load
        told = (
            f"`make feeds ARGS='{self.name}{self.options}'`, on Python "
            f"{platform.python_version()} with {os.cpu_count()} cores, in "
            f"{self.seconds:.0f} s; the load average was {before:.1f} before it and "
            f"{after:.1f} after it."
        )
        broken = f"Promises broken: {len(self.faults)}."
        lines = [f"- {fault}" for fault in self.faults[:20]]
        parts = [f"## {TITLES[self.name]}", told, self.text.strip(), broken]
        return "\n\n".join(parts + (["\n".join(lines)] if lines else []))


def write(page: pathlib.Path, section: Section) -> None:
    """Put a section in its place on the page."""
    sections = _sections(page.read_text() if page.exists() else "")
    sections[TITLES[section.name]] = section.markdown()
    ordered = [sections[title] for title in TITLES.values() if title in sections]
    page.write_text("\n\n".join([_HEAD.strip(), *ordered]) + "\n")


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## "): part.strip() for part in parts}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is text, and the others are figures."""
    lines = [f"| {' | '.join(head)} |", f"| --- {'| ---: ' * (len(head) - 1)}|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """A table of facts, without a head."""
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and between which figures they lie."""
    if not values:
        return "none"
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def memory() -> int:
    """Resident memory of this process now, in KiB."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4


def mebibytes(taken: Sequence[int]) -> str:
    """Memory in KiB, as MiB."""
    return ", ".join(f"{one / 1024:.1f}" for one in taken)
