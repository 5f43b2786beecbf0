"""docs/demo.svg is a demo that went well, and shows its terminal as it was left."""

from __future__ import annotations

import html
import re

import pytest

from tests.servers.process import ROOT


pytest.importorskip("rich", reason="pip install '.[cli]'")

from docs.tools.terminal import excerpt, screen


def test_what_is_drawn_over_is_gone() -> None:
    panel = "a panel\nof two lines\n"
    text = f"first\r\n{panel}\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2Klast\r\n"
    assert screen(text) == ["first", "last", "", ""]


def test_the_excerpt_has_the_first_outage_and_the_verdict() -> None:
    story = [
        "open: connection 1",
        "kill -9",
        "attempt 1 failed",
        "attempt 2 in 0.1 s",
        "open: connection 2",
        "kill -STOP",
        " messages",
        "  lost in silence 0",
        "",
        "Nothing was lost in silence.",
        "after it",
    ]
    assert excerpt(story) == [
        *story[:3],
        "   …",
        "open: connection 2",
        "   …",
        "",
        *story[6:8],
        "",
        story[9],
    ]


def test_the_picture_is_of_a_demo_that_lost_nothing_in_silence() -> None:
    drawn = html.unescape((ROOT / "docs" / "demo.svg").read_text())
    text = " ".join(re.findall(r">([^<>]+)</text>", drawn)).replace("\xa0", " ")
    assert "Nothing was lost in silence, nothing came twice." in text
    silent = re.findall(r"lost in silence +(\d+) ", text)
    assert silent == ["0", "0"]
    # It fetches nothing: a forge shows no picture that does.
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[\w.]+", drawn) == []
