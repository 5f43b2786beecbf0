"""How long a verdict must stand before it is obeyed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from tenacity import wait_fixed

from resilient_ws.errors import ConnectionLost, Fatal, HandshakeRejected
from resilient_ws.policy.failures import Ending, Verdict
from resilient_ws.policy.judge import Judge, Judgement
from resilient_ws.policy.reconnect import Reconnect
from resilient_ws.policy.retry_delay import RetryDelay
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
        made.note_open()
    return made


def hear(
    judge: Judge, ending: Ending, member: int = 0, *, at: float = 0.0
) -> Judgement:
    return judge.judge(ending, now=at, now_wall=0.0, member=member)


def outcome(judgement: Judgement) -> str:
    if judgement.final:
        return "final"
    if judgement.extra.source == "floor":
        return f"wait {judgement.extra.seconds:g}"
    return "fresh" if judgement.fresh else "retry"


@pytest.mark.parametrize("row", [rejected(404), closed(1009)])
def test_fatal_is_final_before_the_first_open(row: Ending) -> None:
    told = hear(judge(), row)
    assert told == Judgement(ending=row, final=True, failure=row.because)


@pytest.mark.parametrize("row", [rejected(404), closed(1009)])
def test_later_it_is_final_once_it_has_stood_for_fatal_after(row: Ending) -> None:
    asked = judge(opened=True)
    told = [(at, outcome(hear(asked, row, at=at))) for at in (50, 51, 949.9, 950)]
    assert told == [
        (50, "wait 60"),
        (51, "wait 60"),
        (949.9, "wait 60"),
        (950, "final"),
    ]


@pytest.mark.parametrize(("fatal_after", "told"), [(0, "final"), (0.5, "wait 60")])
def test_fatal_after_may_be_anything_from_0_on(fatal_after: float, told: str) -> None:
    asked = judge(opened=True, fatal_after=fatal_after)
    assert outcome(hear(asked, rejected(404))) == told


def test_a_stable_connection_between_starts_it_anew() -> None:
    asked = judge(opened=True)
    for at in (0, 899, 1798):
        assert outcome(hear(asked, rejected(404), at=at)) == "wait 60"
        asked.note_stable()


def test_an_open_connection_that_was_not_stable_changes_nothing() -> None:
    asked = judge(opened=True)
    hear(asked, rejected(404))
    asked.note_open()
    assert outcome(hear(asked, rejected(404), at=900)) == "final"


def test_another_fatal_verdict_does_not_start_it_anew() -> None:
    asked = judge(opened=True)
    rows = {0: rejected(404), 500: closed(1009), 900: rejected(410)}
    told = [outcome(hear(asked, row, at=at)) for at, row in rows.items()]
    assert told == ["wait 60", "wait 60", "final"]


def test_an_ending_that_is_to_be_retried_starts_it_anew() -> None:
    asked = judge(opened=True)
    rows = {0: 404, 850: 503, 900: 404, 1799: 404, 1800: 404}
    told = [outcome(hear(asked, rejected(row), at=at)) for at, row in rows.items()]
    assert told == ["wait 60", "retry", "wait 60", "wait 60", "final"]


Heard = tuple[float, str]
HEARD = st.tuples(
    st.floats(0, 500), st.sampled_from(["404", "410", "503", "stable", "open"])
)


@given(st.lists(HEARD, max_size=40), st.sampled_from([0.0, 60.0, 900.0]))
def test_it_is_final_exactly_when_it_has_stood(
    heard: list[Heard], fatal_after: float
) -> None:
    asked = judge(opened=True, fatal_after=fatal_after)
    now, since = 0.0, None
    for gap, what in heard:
        now += gap
        if what == "open":
            asked.note_open()
        elif what == "stable":
            asked.note_stable()
            since = None
        else:
            told = hear(asked, rejected(int(what)), at=now)
            since = None if what == "503" else now if since is None else since
            assert told.final == (since is not None and now - since >= fatal_after)
            assert told.stands == (since is not None and not told.final)
            assert told.extra.seconds == (60 if told.stands else 0)
            if told.final:
                return


@pytest.mark.parametrize("row", [rejected(401), closed(4401)])
def test_credentials_get_one_fresh_retry_before_the_first_open(row: Ending) -> None:
    asked = judge()
    assert [outcome(hear(asked, row)) for _ in range(2)] == ["fresh", "final"]


@pytest.mark.parametrize("row", [rejected(401), closed(4401)])
def test_later_credentials_get_a_fresh_retry_then_are_fatal_like_any(
    row: Ending,
) -> None:
    asked = judge(opened=True)
    told = [hear(asked, row, at=at) for at in (0, 1, 900, 901)]
    # It stands from the second on: the first gets its retry with fresh credentials.
    assert [outcome(item) for item in told] == ["fresh", "wait 60", "wait 60", "final"]
    assert [item.fresh for item in told] == [True, True, True, False]


def test_other_credentials_trouble_gets_its_own_retry() -> None:
    asked = judge()
    rows = [rejected(401), rejected(403), rejected(403)]
    assert [outcome(hear(asked, row)) for row in rows] == ["fresh", "fresh", "final"]


def test_two_kinds_of_credentials_trouble_in_turn_get_one_retry_each() -> None:
    asked = judge()
    rows = [rejected(401), rejected(403), rejected(401)]
    assert [outcome(hear(asked, row)) for row in rows] == ["fresh", "fresh", "final"]


def test_after_an_ending_to_be_retried_credentials_get_a_fresh_retry_again() -> None:
    asked = judge()
    rows = [rejected(401), rejected(503), rejected(401)]
    assert [outcome(hear(asked, row)) for row in rows] == ["fresh", "retry", "fresh"]


def test_the_longest_wait_is_the_policys_own() -> None:
    asked = judge(opened=True, wait=wait_fixed(7))
    assert hear(asked, rejected(404)).extra == RetryDelay(7, "floor")


def test_a_longer_retry_after_wins_over_the_longest_wait() -> None:
    told = hear(judge(opened=True), rejected(404, retry_after="300"))
    assert told.extra == RetryDelay(300, "retry_after")


def test_retry_after_is_capped() -> None:
    told = hear(judge(retry_after_cap=10), rejected(503, retry_after="300"))
    assert told.extra == RetryDelay(10, "retry_after")


def test_members_have_records_of_their_own() -> None:
    asked = judge(opened=True)
    assert outcome(hear(asked, rejected(404), member=0)) == "wait 60"
    assert outcome(hear(asked, rejected(404), member=1)) == "wait 60"
    assert outcome(hear(asked, rejected(503), member=1, at=800)) == "retry"
    assert outcome(hear(asked, rejected(404), member=1, at=900)) == "wait 60"
    assert outcome(hear(asked, rejected(404), member=0, at=900)) == "final"


# --- the user's opinion --------------------------------------------------------------


@pytest.mark.parametrize("opened", [False, True])
def test_fatal_from_user_code_is_final_at_once(opened: bool) -> None:
    enough = Fatal("enough")
    asked = judge(opened=opened, classify=lambda _: Verdict.RETRY)
    row = Ending(because=enough, state=State.RESTORING)
    told = hear(asked, row)
    assert told == Judgement(ending=row, final=True, failure=enough)


def test_fatal_raised_by_classify_is_final_with_that_cause() -> None:
    enough = Fatal("enough")

    def classify(_: Ending) -> Verdict:
        raise enough

    row = rejected(503)
    told = hear(judge(opened=True, classify=classify), row)
    assert told == Judgement(ending=row, final=True, failure=enough)


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
    assert "Reconnect.classify must return a Verdict" in str(told.complaint)


def test_a_classify_that_hides_a_coroutine_is_reported_without_a_warning() -> None:
    async def later() -> Verdict:
        return Verdict.RETRY

    told = hear(judge(classify=lambda _: later()), rejected(503))
    assert isinstance(told.complaint, TypeError)
