"""The workflows run what make runs by hand, and nothing that can change under them."""

from __future__ import annotations

import re

import pytest

from tests.servers.process import ROOT


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="an sdist has no workflows")


def steps(word: str) -> list[str]:
    texts = (path.read_text() for path in WORKFLOWS)
    return [
        found
        for text in texts
        for found in re.findall(rf"^ *(?:- )?{word}: (.*)$", text, re.MULTILINE)
    ]


def test_every_step_is_a_target_of_make() -> None:
    assert steps("run")
    for command in steps("run"):
        _, made, words = command.rpartition("make ")
        assert made, command
        targets = [word for word in words.split() if "=" not in word]
        assert set(targets) <= TARGETS, command


def test_every_action_is_pinned_to_a_commit() -> None:
    assert steps("uses")
    for action in steps("uses"):
        assert re.fullmatch(
            r"(actions/[\w-]+|pypa/cibuildwheel)@[0-9a-f]{40} # v[\d.]+", action
        )


def test_what_is_uploaded_is_what_is_checked() -> None:
    """The wheels come from several machines, and the last job looks into all."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^publish: publishable packed$", makefile, re.MULTILINE)
    assert "make publish" in steps("run")


def test_only_the_job_that_publishes_gets_an_identity() -> None:
    (publish,) = (path for path in WORKFLOWS if path.name == "publish.yml")
    texts = [path.read_text() for path in WORKFLOWS]
    assert sum(text.count("id-token: write") for text in texts) == 1
    assert "id-token: write" in publish.read_text().partition("\n  publish:\n")[2]
    assert all("\npermissions: {}\n" in text for text in texts)
