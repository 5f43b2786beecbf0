"""What was promised, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.speed.clients import US
from benchmarks.speed.drain import HELD
from benchmarks.speed.exchange import TARGET


if TYPE_CHECKING:
    from collections.abc import Iterator

#: An idle session's memory, as a multiple of aiohttp's WebSocket.
MEMORY: Final = 1.25
#: By how much a session of 5,000 may cost more or less than one of 100.
FLAT: Final = 0.10
#: Below so many connections, what is measured is the grain of the allocator.
MANY: Final = 100

DELIVERY: Final = (
    "Each message has a Delivery, a place in the order and its accounts, which aiohttp "
    "does not keep: some two microseconds of Python, and more where the bytes of a "
    "large message have just filled the processor's cache."
)
#: Why a target for memory is missed with few sessions.
FEW: Final = (
    "The first hundreds of aiohttp's fit in part into memory that the process had "
    "already; what each further one takes, the rows below tell."
)

#: Why a target is missed, where that is known; by scenario, way and client.
REASONS: Final[dict[tuple[str, str, str], str]] = {
    ("receive", "plain", "picows, queue"): (
        "picows' parser is compiled. Ours is Python: a slice, a decode and an append "
        "for each message, and the two calls of the iteration."
    ),
    ("receive", "plain", "aiohttp"): (
        "Each copies a message once and decodes it once; aiohttp's parser is compiled, "
        "and ours is Python that finds the cache full of the message before."
    ),
    ("receive", "tls", "aiohttp"): (
        "OpenSSL does the same work for both, into our one buffer or into an object "
        "for each record; what is left is as with plain ones."
    ),
    ("receive", "deflate", "aiohttp"): (
        "zlib does the same work for both; what is left is the Python around it, and "
        "the bound on what a piece may inflate to, which aiohttp checks at the end."
    ),
    ("echo", "plain", "aiohttp"): (
        "One message a turn of the loop: nothing is shared out among many, and each "
        "way is Python of ours (`make instructions` counts it) where aiohttp's reader "
        "is compiled, and its sending keeps no accounts."
    ),
    ("send", "plain", "aiohttp"): DELIVERY,
    ("send", "tls", "aiohttp"): DELIVERY,
    ("send", "deflate", "aiohttp"): (
        f"{DELIVERY} zlib is slower with our window of 12 bits, which messages below "
        "4 KiB have: it takes 37 KiB of memory, and one of 15 bits 112."
    ),
}


@attrs.frozen(kw_only=True)
class Verdict:
    """One promise."""

    name: str
    said: str
    met: bool
    why: str = ""


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
    profile: list[Any] = []
    for row in rows:
        if row["client"] == US:
            profile = row.get("profile", [])
        if row["met"] is None:
            continue
        why = ""
        if not row["met"]:
            key = row["scenario"], row["link"], row["client"]
            spent = ", ".join(f"`{name}` {share:.0%}" for name, share in profile)
            why = f"{REASONS.get(key, '')} Profile: {spent}.".strip()
        name = (
            f"{row['scenario']}, {row['loop']}, {row['link']}, {row['kind']}, "
            f"{sized(row['size'])}, beside {row['client']}"
        )
        yield Verdict(
            name=name,
            said=f"{row['ratio']:.2f}x, wanted {row['target']:.2f}x",
            met=row["met"],
            why=why,
        )
        if row["scenario"] == "echo":
            # What its user waits for, and not only what it costs.
            yield Verdict(
                name=f"{name}, in time",
                said=f"{row['wall_ratio']:.2f}x, wanted {row['target']:.2f}x",
                met=row["wall_ratio"] >= row["target"],
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
