"""What was promised, compared with what is known: pure, so that it can be tried itself.

Rules: a message is *accepted* once the sender's journal has the line; of one that was
tried and not accepted nothing was promised, except that it keeps the order and the bound
on how often it arrives. Why a message is missing is not taken from the sender's word
alone: one in flight at a kill is one that was out of the store by then, and their number
is bounded by ``max_in_flight``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from tests.crash.setting import body, number_of


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.evidence import Evidence, Served
    from tests.crash.journal import Entry
    from tests.crash.setting import Setting


@attrs.frozen(kw_only=True)
class Verdict:
    """What came of a campaign.

    Attributes:
        figures: How many of what, in the words of the report.
        violations: Each broken promise, as a sentence; empty if all were kept.
    """

    figures: Mapping[str, int]
    violations: Sequence[str]


class Facts:
    """The evidence, by number of message."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.tried: set[int] = set()
        #: By number, its place in the order of the store.
        self.accepted: dict[int, int] = {}
        #: By number, the life that was told so.
        self.accepted_in: dict[int, int] = {}
        self.lost: dict[int, Entry] = {}
        #: By number, how often the sender says that it was written until it arrived.
        self.delivered: dict[int, int] = {}
        for place, life in enumerate(evidence.lives):
            self.tried.update(entry["number"] for entry in life.entries("trying"))
            for entry in life.entries("accepted"):
                self.accepted[entry["number"]] = entry["sequence"]
                self.accepted_in[entry["number"]] = place
            self.lost.update({e["number"]: e for e in life.entries("lost")})
            for entry in life.entries("delivered"):
                self.delivered[entry["number"]] = entry["transmissions"]
        #: How often each arrived.
        self.arrived = Counter(
            number for one in evidence.connections for number in numbers(one)
        )

    @property
    def missing(self) -> list[int]:
        """What was accepted and never arrived."""
        return sorted(self.accepted.keys() - self.arrived.keys())

    def gone_in(self, number: int) -> int | None:
        """The life at whose end an accepted message was no longer in the store."""
        lives = self.evidence.lives
        for place in range(self.accepted_in[number], len(lives)):
            if number not in lives[place].left:
                return place
        return None


def numbers(connection: Served) -> list[int]:
    """The numbers of the messages of a connection; of what is none, -1."""
    found: list[int] = []
    for text in connection.texts:
        try:
            found.append(number_of(text))
        except ValueError:
            found.append(-1)
    return found


def judge(setting: Setting, evidence: Evidence) -> Verdict:
    """Compare what arrived with what the setting promises."""
    facts = Facts(evidence)
    violations = [*evidence.troubles, *_common(facts)]
    if setting.confirm != "write":
        violations += _confirmed(facts)
    if setting.resend:
        violations += _at_least_once(facts)
        why: dict[str, int] = {}
    else:
        why, broken = _at_most_once(setting, facts)
        violations += broken
    return Verdict(figures=_figures(facts, why), violations=violations)


def _figures(facts: Facts, why: Mapping[str, int]) -> dict[str, int]:
    arrived = facts.arrived
    return {
        "kills": len(facts.evidence.lives) - 1,
        "connections": len(facts.evidence.connections),
        "accepted": len(facts.accepted),
        "arrived": len(facts.accepted.keys() & arrived.keys()),
        "repeats": arrived.total() - len(arrived),
        "tried, never accepted": len(facts.tried - facts.accepted.keys()),
        "of these arrived": len(arrived.keys() - facts.accepted.keys()),
        "reported as lost": len(facts.lost),
        "of these arrived all the same": len(facts.lost.keys() & arrived.keys()),
        "missing": len(facts.missing),
        "missing: reported": why.get("reported", 0),
        "missing: counted at a drop": why.get("counted", 0),
        "missing: in flight at a kill": why.get("in flight", 0),
    }


def _common(facts: Facts) -> Iterator[str]:
    """Whatever the setting."""
    if not facts.arrived:
        yield "nothing arrived: this proves nothing"
    if facts.evidence.lives[-1].left:
        yield f"the drained store still holds {list(facts.evidence.lives[-1].left)}"
    for connection in facts.evidence.connections:
        newest = 0
        for text, number in zip(connection.texts, numbers(connection), strict=True):
            if number not in facts.tried:
                yield f"{text[:40]!r} arrived and was never sent"
            elif text != body(number):
                yield f"message {number} arrived altered, with its id or its filler"
            if number <= newest:
                yield f"message {number} came after {newest} on one connection"
            newest = max(newest, number)
            yield from _in_spite_of_a_report(facts, connection, number)
    in_order = [facts.accepted[number] for number in sorted(facts.accepted)]
    if any(b <= a for a, b in itertools.pairwise(in_order)):
        yield "the store has not kept the order in which messages were sent"


def _in_spite_of_a_report(
    facts: Facts, connection: Served, number: int
) -> Iterator[str]:
    """What was reported as lost is not sent afterwards."""
    report = facts.lost.get(number)
    if report is None:
        return
    if connection.opened > report["at"]:
        yield f"message {number} was sent after it was reported as lost"
    if not report["maybe"]:
        yield f"message {number} arrived, though reported as never written"


def _confirmed(facts: Facts) -> Iterator[str]:
    """What was confirmed has arrived, and no oftener than it was written."""
    for number, transmissions in facts.delivered.items():
        times = facts.arrived[number]
        if not times:
            yield f"message {number} was confirmed and never arrived"
        if times > transmissions:
            yield f"message {number} arrived {times}x, and counts {transmissions}"


def _at_least_once(facts: Facts) -> Iterator[str]:
    """Nothing is missing, and nothing newer came before it."""
    for number in facts.missing:
        gone = facts.gone_in(number)
        yield f"message {number} is missing; the store let go of it in life {gone}"
    for number in sorted(facts.lost):
        yield f"message {number} was given up"
    waiting = sorted(facts.accepted.keys() & facts.arrived.keys(), reverse=True)
    seen: set[int] = set()
    for connection in facts.evidence.connections:
        for number in numbers(connection):
            while waiting and waiting[-1] in seen:
                waiting.pop()
            if waiting and waiting[-1] < number:
                yield f"message {number} came before the older {waiting[-1]}"
            seen.add(number)


def _at_most_once(setting: Setting, facts: Facts) -> tuple[dict[str, int], list[str]]:
    """Nothing came twice, and there is a reason for each that is missing."""
    broken = [
        f"message {number} arrived {times}x"
        for number, times in facts.arrived.items()
        if times > 1
    ]
    newest = 0
    for connection in facts.evidence.connections:
        came = numbers(connection)
        if came and came[0] <= newest:
            broken.append(f"message {came[0]} came after {newest}")
        newest = max([newest, *came])
    broken += _holes(facts)
    unreported = [number for number in facts.missing if number not in facts.lost]
    why = {"reported": len(facts.missing) - len(unreported)}
    if setting.confirm != "write":
        # Also what was on its way at a kill: the next life tells of it.
        broken += [f"message {number} is missing in silence" for number in unreported]
        return why, broken
    gone = {number: facts.gone_in(number) for number in unreported}
    counted = 0
    for place, life in enumerate(facts.evidence.lives):
        here = [number for number in unreported if gone[number] == place]
        # A drop is known before the next connection, and so before anything newer comes.
        before = _before_the_end(facts, place, here)
        allowed = sum(entry["unconfirmed"] for entry in life.entries("dropped"))
        counted += len(before)
        if len(before) > allowed:
            broken.append(f"life {place} lost {before}, and told of {allowed}")
    why["counted"] = counted
    why["in flight"] = len(unreported) - counted
    return why, broken


def _before_the_end(facts: Facts, place: int, missing: Sequence[int]) -> list[int]:
    """Return what a life has lost, other than at its end: something newer arrived."""
    lives = facts.evidence.lives
    end = lives[place + 1].began if place + 1 < len(lives) else float("inf")
    newest = max(
        (
            number
            for connection in facts.evidence.connections
            if lives[place].began <= connection.opened < end
            for number in numbers(connection)
        ),
        default=0,
    )
    return [number for number in missing if number < newest]


def _holes(facts: Facts) -> Iterator[str]:
    """TCP keeps its bytes in order: what is lost is lost at the end of a connection."""
    accepted = sorted(facts.accepted)
    place = {number: index for index, number in enumerate(accepted)}
    for connection in facts.evidence.connections:
        came = [number for number in numbers(connection) if number in place]
        for before, after in itertools.pairwise(came):
            if place[after] > place[before] + 1:
                first = accepted[place[before] + 1]
                yield f"message {first} is missing in the middle of a connection"
