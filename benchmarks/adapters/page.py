"""Write ``docs/adapters/campaign.md`` from the plays of a run."""

from __future__ import annotations

import math
import os
import platform
import re
from typing import TYPE_CHECKING

from benchmarks.adapters.contest import WAYS
from benchmarks.adapters.faults import TROUBLES


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping, Sequence

    from benchmarks.adapters.contest import Contest, Outcome

_HEAD = """# Libraries alone, and on our session

Written by `make adapters`. Do not edit: it is overwritten.

Each library's example program runs twice through the same trouble, in processes of
its own: as it is, and with the one line changed that makes its client. Keepalives take
about two seconds on both sides. The server numbers what it sends, and goes on
numbering while it is away from its client.

- *missing*: numbers made after the first one that was received, and never received; of
  how many. *twice*: those that came more than once.
- *back*: seconds from the end of the trouble to the next message.
- *dials*: connections that were accepted from the beginning of the trouble on; a closed
  port accepts none.
- *CPU*: share of one core that the program used during the trouble.
- *sent, lost*: what the library took without complaint, and how much of it the server
  never had.
"""


def middle(outcomes: Sequence[Outcome]) -> Outcome:
    """The play whose way back took neither longest nor shortest."""
    by_back = sorted(
        outcomes, key=lambda one: math.inf if one.back is None else one.back
    )
    return by_back[(len(by_back) - 1) // 2]


def _row(trouble: str, way: str, outcome: Outcome) -> str:
    back = "never" if outcome.back is None else f"{outcome.back:.1f} s"
    if outcome.ended:
        back = "the program ended"
    cpu = "" if outcome.cpu is None else f"{outcome.cpu:.1%}"
    missing = f"{outcome.missing} of {outcome.made}"
    if outcome.repeated:
        missing += f", twice: {outcome.repeated}"
    sent = f"{outcome.sent}, {outcome.unheard}" if outcome.sent else ""
    return (
        f"| {trouble} | {way} | {missing} | {back} | {outcome.dials} | {cpu} | {sent} |"
    )


def write(
    results: Mapping[tuple[str, str, str], Sequence[Outcome]],
    contests: Sequence[Contest],
    path: pathlib.Path,
) -> None:
    """Write the page; what was not played in this run stays as it was."""
    head = [_HEAD]
    head += [f"- {trouble.name}: {trouble.what}" for trouble in TROUBLES]
    sections = _sections(path) | {
        contest.title: _section(contest, results) for contest in contests
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, "", *sections.values()]))


def _sections(path: pathlib.Path) -> dict[str, str]:
    """Return the sections of an earlier run by their titles."""
    if not path.exists():
        return {}
    _, *sections = re.split(r"^## ", path.read_text(), flags=re.MULTILINE)
    return {
        section.partition("\n")[0]: f"## {section.rstrip()}\n" for section in sections
    }


def _section(
    contest: Contest, results: Mapping[tuple[str, str, str], Sequence[Outcome]]
) -> str:
    counts = [len(found) for key, found in results.items() if key[0] == contest.name]
    least, most = min(counts, default=0), max(counts, default=0)
    rounds = f"{least}" if least == most else f"{least} to {most}"
    shown = (
        f"Plays of each: {rounds}; what is shown is the one with the middle way back "
        "(of two, the shorter)."
    )
    system = (
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} "
        f"cores, load average {os.getloadavg()[0]:.1f}: a busy machine makes a way "
        "back longer."
    )
    lines = [
        f"## {contest.title}",
        "",
        f"{contest.program} ({contest.versions()})",
        "",
        f"{shown} {system}",
        "",
        "| trouble | | missing | back | dials | CPU | sent, lost |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    lines += [
        _row(trouble.name, way, middle(outcomes))
        for trouble in TROUBLES
        for way in WAYS
        if (outcomes := results.get((contest.name, trouble.name, way)))
    ]
    return "\n".join([*lines, ""])
