"""How often a verdict must be heard before it is obeyed."""

from __future__ import annotations

from typing import Any

import pytest
from tenacity import wait_fixed

from resilient_ws.errors import ConnectionLost, Fatal, HandshakeRejected
from resilient_ws.policy import Ending, Judge, Judgement, Reconnect, Verdict
from resilient_ws.protocol.close import Close
from resilient_ws.state import State


def rejected(status: int, **headers: str) -> Ending:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    because = HandshakeRejected("No.", status=status, headers=named)
    return Ending(because=because, state=State.CONNECTING)


def closed(code: int) -> Ending:
    record = Close(code=code, reason="", initiator="peer", clean=True)
    because = ConnectionLost("Closed.", how="close", close=record)
    return Ending(because=because, state=State.OPEN)


def judge(*, opened: bool = False, **policy: Any) -> Judge:
    made = Judge(Reconnect(**policy))
    if opened:
        made.opened()
    return made


def hear(judge: Judge, ending: Ending, member: int = 0) -> Judgement:
    return judge.judge(ending, now_wall=0.0, member=member)


def outcome(judgement: Judgement) -> str:
    if judgement.final:
        return "final"
    if judgement.source == "floor":
        return f"wait {judgement.floor:g}"
    return "fresh" if judgement.fresh else "retry"


@pytest.mark.parametrize("row", [rejected(404), closed(1009)])
def test_fatal_is_final_before_the_first_open(row: Ending) -> None:
    told = hear(judge(), row)
    assert told == Judgement(final=True, because=row.because)


@pytest.mark.parametrize("row", [rejected(404), closed(1009)])
def test_later_it_is_final_the_second_time_and_waits_longest_the_first(
    row: Ending,
) -> None:
    asked = judge(opened=True)
    assert [outcome(hear(asked, row)) for _ in range(2)] == ["wait 60", "final"]


def test_a_stable_connection_between_makes_it_the_first_time_again() -> None:
    asked = judge(opened=True)
    for _ in range(3):
        assert outcome(hear(asked, rejected(404))) == "wait 60"
        asked.stable()


def test_an_open_connection_that_was_not_stable_changes_nothing() -> None:
    asked = judge(opened=True)
    hear(asked, rejected(404))
    asked.opened()
    assert outcome(hear(asked, rejected(404))) == "final"


def test_another_verdict_between_breaks_the_row() -> None:
    asked = judge(opened=True)
    rows = [rejected(404), rejected(503), rejected(404), rejected(410), rejected(404)]
    told = [outcome(hear(asked, row)) for row in rows]
    assert told == ["wait 60", "retry", "wait 60", "wait 60", "wait 60"]


@pytest.mark.parametrize("row", [rejected(401), closed(4401)])
def test_credentials_get_one_fresh_retry_before_the_first_open(row: Ending) -> None:
    asked = judge()
    assert [outcome(hear(asked, row)) for _ in range(2)] == ["fresh", "final"]


@pytest.mark.parametrize("row", [rejected(401), closed(4401)])
def test_later_credentials_get_a_fresh_retry_then_are_fatal_like_any(
    row: Ending,
) -> None:
    asked = judge(opened=True)
    told = [hear(asked, row) for _ in range(3)]
    assert [outcome(item) for item in told] == ["fresh", "wait 60", "final"]
    assert [item.fresh for item in told] == [True, True, False]


def test_other_credentials_trouble_gets_its_own_retry() -> None:
    asked = judge()
    rows = [rejected(401), rejected(403), rejected(403)]
    assert [outcome(hear(asked, row)) for row in rows] == ["fresh", "fresh", "final"]


def test_the_longest_wait_is_the_policys_own() -> None:
    asked = judge(opened=True, wait=wait_fixed(7))
    assert hear(asked, rejected(404)).floor == 7


def test_a_longer_retry_after_wins_over_the_longest_wait() -> None:
    told = hear(judge(opened=True), rejected(404, retry_after="300"))
    assert (told.floor, told.source) == (300, "retry_after")


def test_retry_after_is_capped() -> None:
    told = hear(judge(retry_after_cap=10), rejected(503, retry_after="300"))
    assert (told.floor, told.source) == (10, "retry_after")


def test_members_have_records_of_their_own() -> None:
    asked = judge(opened=True)
    assert outcome(hear(asked, rejected(404), member=0)) == "wait 60"
    assert outcome(hear(asked, rejected(404), member=1)) == "wait 60"
    assert outcome(hear(asked, rejected(503), member=1)) == "retry"
    assert outcome(hear(asked, rejected(404), member=0)) == "final"


# --- the user's opinion --------------------------------------------------------------


@pytest.mark.parametrize("opened", [False, True])
def test_fatal_from_user_code_is_final_at_once(opened: bool) -> None:
    enough = Fatal("enough")
    asked = judge(opened=opened, classify=lambda _: Verdict.RETRY)
    told = hear(asked, Ending(because=enough, state=State.RESTORING))
    assert told == Judgement(final=True, because=enough)


def test_fatal_raised_by_classify_is_final_with_that_cause() -> None:
    enough = Fatal("enough")

    def classify(_: Ending) -> Verdict:
        raise enough

    told = hear(judge(opened=True, classify=classify), rejected(503))
    assert told == Judgement(final=True, because=enough)


def test_classify_sees_the_ending_and_overrules_the_table() -> None:
    seen: list[Ending] = []

    def classify(ending: Ending) -> Verdict | None:
        seen.append(ending)
        return Verdict.RETRY if ending.status == 404 else None

    asked = judge(classify=classify)
    row = rejected(404)
    assert outcome(hear(asked, row)) == "retry"
    assert seen == [row]
    assert outcome(hear(asked, rejected(410))) == "final"


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.FATAL, ["final"]),
        (Verdict.RETRY_FRESH, ["fresh", "final"]),
        (Verdict.RETRY, ["retry", "retry"]),
    ],
)
def test_a_users_verdict_follows_the_same_rules(
    verdict: Verdict, told: list[str]
) -> None:
    asked = judge(classify=lambda _: verdict)
    assert [outcome(hear(asked, rejected(500))) for _ in told] == told


def test_a_classify_that_raises_is_reported_and_the_default_stands() -> None:
    bug = ZeroDivisionError()

    def classify(_: Ending) -> Verdict:
        raise bug

    told = hear(judge(classify=classify), rejected(503))
    assert (outcome(told), told.complaint) == ("retry", bug)


@pytest.mark.parametrize("nonsense", ["retry", True, 0])
def test_a_classify_that_answers_nonsense_is_reported(nonsense: object) -> None:
    told = hear(judge(classify=lambda _: nonsense), rejected(404))
    assert told.final
    assert isinstance(told.complaint, TypeError)
    assert "Reconnect.classify must answer with a Verdict" in str(told.complaint)


def test_a_classify_that_hides_a_coroutine_is_reported_without_a_warning() -> None:
    async def later() -> Verdict:
        return Verdict.RETRY

    told = hear(judge(classify=lambda _: later()), rejected(503))
    assert isinstance(told.complaint, TypeError)
