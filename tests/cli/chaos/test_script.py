"""Scripts of faults are read, and wrong ones are refused by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.cli.chaos.command import KEYS
from resilient_ws.cli.chaos.script import KINDS, read_fault, read_script, usage
from resilient_ws.testing import (
    Cut,
    Delay,
    Freeze,
    Hang,
    Refuse,
    Reject,
    Reset,
    Throttle,
)


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("freeze", Freeze()),
        ("freeze down", Freeze("down")),
        ("delay 0.2", Delay(0.2)),
        ("delay 0.2 up", Delay(0.2, "up")),
        ("delay", Delay(0.5)),
        ("throttle 500", Throttle(500)),
        ("cut 400", Cut(400)),
        ("cut 400 up", Cut(400, "up")),
        ("reset", Reset()),
        ("refuse", Refuse()),
        ("hang", Hang()),
        ("reject 429", Reject(429)),
        ("heal", None),
    ],
)
def test_faults(text: str, fault: object) -> None:
    assert read_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("melt", "no fault is called 'melt': blackhole, freeze"),
        ("freeze sideways", r"'freeze' does not take 'sideways': freeze \[up"),
        ("reset now", "'reset' does not take 'now': reset"),
        ("cut", "'cut' needs a number: cut BYTES"),
        ("cut many", "BYTES of 'cut' must be a number, not 'many'"),
        ("delay -1", "the number of 'delay' is out of range"),
    ],
)
def test_wrong_faults(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_fault(text)


def test_every_key_and_every_kind_makes_a_fault() -> None:
    for words in KEYS.values():
        read_fault(words)
    for word in KINDS:
        assert usage(word).startswith(word)


def test_a_script(tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_text(
        "# a comment\n0 delay 0.1\n\n2.5  freeze   down # and more\n9 repeat\n"
    )
    steps = read_script(str(file))
    assert [(step.at, step.text) for step in steps] == [
        (0, "delay 0.1"),
        (2.5, "freeze down"),
        (9, "repeat"),
    ]
    assert steps[-1].repeats


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no step"),
        ("0 freeze\nsoon heal\n", "line 2 .*: it must begin with a time"),
        ("5 freeze\n4 heal\n", "line 2 .*: its time must not be before"),
        ("5\n", "line 1 .*: a fault must follow the time"),
        ("0 repeat\n", "'repeat' needs a time above 0"),
        ("1 repeat\n2 heal\n", "nothing can follow 'repeat'"),
        ("1 melt\n", "line 1 .*: no fault is called 'melt'"),
        ("nan heal\n", "its time"),
    ],
)
def test_wrong_scripts(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "script"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"--script: .*{complaint}"):
        read_script(str(file))


def test_a_script_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="--script: /nowhere cannot be read: No such"):
        read_script("/nowhere")
