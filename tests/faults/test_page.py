"""How verdicts become words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.reliability.page import Result, broken, markdown, verdict
from benchmarks.reliability.rows import SITUATIONS
from benchmarks.reliability.situation import Outcome


def _result(*outcomes: Outcome, library: str = "resilient_ws") -> Result:
    return Result(SITUATIONS[0], library, outcomes)


def _noticed(seconds: float | None, **fields: Any) -> Outcome:
    fields = {"kept": True, "words": "noticed after {noticed}", **fields}
    return Outcome(figures={"noticed": seconds}, **fields)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        pytest.param(_result(_noticed(4.04)), "✔ noticed after 4.0 s", id="one"),
        pytest.param(
            _result(_noticed(3.0), _noticed(5.0), _noticed(3.5)),
            "✔ noticed after 3.5 s (3.0 to 5.0)",
            id="median and spread",
        ),
        pytest.param(
            _result(_noticed(None, kept=False)),
            "✘ noticed after *never*",
            id="never",
        ),
        pytest.param(
            _result(_noticed(4.0), _noticed(None, kept=False)),
            "✘ (1 of 2 kept) noticed after 4.0 s, *never* 1x",
            id="never once",
        ),
        pytest.param(
            _result(_noticed(4.0), Outcome(kept=False, words="gave up")),
            "✘ (1 of 2 kept) 1x: noticed after 4.0 s; 1x: gave up",
            id="one way and another",
        ),
        pytest.param(
            _result(Outcome(kept=True, words="{n:d} dials", figures={"n": 7})),
            "✔ 7 dials",
            id="a count",
        ),
    ],
)
def test_a_cell(result: Result, said: str) -> None:
    assert verdict(result) == said


def test_only_what_this_library_broke_fails_the_command() -> None:
    fine = _result(_noticed(4.0))
    wrong = _result(_noticed(9.0, kept=False))
    falsely = _result(_noticed(4.0, false_alarms=1))
    theirs = _result(_noticed(9.0, kept=False), library="picows")
    assert broken([fine, theirs]) == []
    assert len(broken([fine, wrong, falsely, theirs])) == 2


def test_the_page_has_every_row_and_says_how_each_was_set_up() -> None:
    results = [Result(row, "aiohttp", [_noticed(1.0)]) for row in SITUATIONS]
    page = markdown(results, took=60)
    assert all(row.name in page for row in SITUATIONS)
    assert f"| aiohttp | {len(SITUATIONS)} of {len(SITUATIONS)} | 0 |" in page
    assert "**picows.**" in page


def test_the_page_says_who_could_not_take_part_and_why() -> None:
    row = dataclasses.replace(SITUATIONS[0], without={"picows": "it does not redirect"})
    page = markdown([Result(row, "aiohttp", [_noticed(1.0)])], took=60)
    assert f"- *{row.name}*, picows: it does not redirect" in page


def test_no_two_rows_have_one_name() -> None:
    assert len({row.name for row in SITUATIONS}) == len(SITUATIONS)
