"""What was promised, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.speed.clients import PURE, US
from benchmarks.speed.drain import HELD
from benchmarks.speed.exchange import TARGET
from benchmarks.speed.reasons import reason


if TYPE_CHECKING:
    from collections.abc import Iterator

#: An idle session's memory, as a multiple of aiohttp's WebSocket.
MEMORY: Final = 1.25
#: By how much a session of 5,000 may cost more or less than one of 100.
FLAT: Final = 0.10
#: Below so many connections, what is measured is the grain of the allocator.
MANY: Final = 100

#: How the page calls the two.
TWINS: Final = {US: "compiled", PURE: "pure"}
#: Why a target for memory is missed with few sessions.
FEW: Final = (
    "The first hundreds of aiohttp's fit in part into memory that the process had "
    "already; what each further one takes, the rows below tell."
)


@attrs.frozen(kw_only=True)
class Verdict:
    """One promise."""

    name: str
    said: str
    met: bool
    why: str = ""
    #: Which of our twins it is about, where it is about one: a value of ``TWINS``.
    twin: str = ""


def verdicts(result: dict[str, Any]) -> list[Verdict]:
    found = list(_wire(result.get("wire", [])))
    if "crowd" in result:
        found += _crowd({row["client"]: row for row in result["crowd"]})
    if "drain" in result:
        held = result["drain"]["held"]
        found.append(
            Verdict(
                name=f"draining an outbox of {result['drain']['count']:,}",
                said=f"loop held {held * 1e3:.1f} ms, allowed {HELD * 1e3:.0f} ms",
                met=result["drain"]["met"],
            )
        )
    if "exchange" in result:
        gain = result["exchange"]["ratio"]["HTTP, new connections"]
        found.append(
            Verdict(
                name="requests and replies beside HTTP with a new connection each",
                said=f"{gain:.2f}x, wanted {TARGET:.2f}x",
                met=result["exchange"]["met"],
            )
        )
    return found


def sized(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def _wire(rows: list[dict[str, Any]]) -> Iterator[Verdict]:
    profiles: dict[str, list[Any]] = {}
    for row in rows:
        if row["client"] in TWINS:
            profiles[row["client"]] = row.get("profile", [])
        for ours, beside in row["beside"].items():
            yield from _beside(row, ours, beside, profiles.get(ours, []))


def _beside(
    row: dict[str, Any], ours: str, beside: dict[str, Any], profile: list[Any]
) -> Iterator[Verdict]:
    """Judge one of our twins beside one peer."""
    name = (
        f"{row['scenario']}, {row['loop']}, {row['link']}, {row['kind']}, "
        f"{sized(row['size'])}, {TWINS[ours]}, beside {row['client']}"
    )
    spent = ", ".join(f"`{name}` {share:.0%}" for name, share in profile)
    if beside["met"] is not None:
        key = row["scenario"], row["link"], row["client"]
        why = f"{reason(ours, *key)} Profile: {spent}.".strip()
        yield Verdict(
            name=name,
            said=f"{beside['ratio']:.2f}x, wanted {beside['target']:.2f}x",
            met=beside["met"],
            why="" if beside["met"] else why,
            twin=TWINS[ours],
        )
    if beside["met_in_time"] is not None:
        # What its user waits for, and not only what it costs.
        yield Verdict(
            name=f"{name}, in time",
            said=(
                f"{beside['wall_ratio']:.2f}x, wanted {beside['target_in_time']:.2f}x"
            ),
            met=beside["met_in_time"],
            why="" if beside["met_in_time"] else f"Profile: {spent}.",
            twin=TWINS[ours],
        )


def _crowd(rows: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    ours = [row for row in rows[US]["rows"] if row["count"] >= MANY]
    theirs = {row["count"]: row for row in rows["aiohttp"]["rows"]}
    for row in ours:
        ratio = row["memory"] / theirs[row["count"]]["memory"]
        yield Verdict(
            name=f"memory of one of {row['count']:,} idle sessions, beside aiohttp",
            said=f"{ratio:.2f}x, allowed {MEMORY:.2f}x",
            met=ratio <= MEMORY,
            why=FEW if row["count"] <= MANY else "",
        )
    if len(ours) > 1:
        first, last = ours[0], ours[-1]
        for what, name in (("memory", "memory"), ("cpu_a_minute", "CPU")):
            grown = (
                last[what] / first[what] - 1
                if what == "memory"
                else last[what] / last["count"] / (first[what] / first["count"]) - 1
            )
            yield Verdict(
                name=f"{name} of a session, {last['count']:,} beside {first['count']}",
                said=f"{grown:+.0%}, allowed {FLAT:.0%}",
                met=grown <= FLAT,
            )
    back = rows[US]["return"]
    yield Verdict(
        name=f"all of {back['count']:,} sessions back after the server dropped them",
        said=f"{back['back']:,} of {back['count']:,}",
        met=back["back"] == back["count"],
    )
