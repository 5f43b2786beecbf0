"""Whatever a peer writes: no text of ours has a character that cannot be seen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from resilient_ws import printable
from resilient_ws.protocol.text import quoted


#: Characters that forge, hide or turn lines, by what they do.
FORGERS = {
    "a line feed": "\n",
    "a carriage return": "\r",
    "a tab": "\t",
    "a form feed": "\f",
    "the escape of a terminal": "\x1b[2K\x1b]0;title\x07",
    "delete": "\x7f",
    "a control sequence of C1": "\x9b2J",
    "next line": "\x85",
    "a line separator": "\u2028",
    "a paragraph separator": "\u2029",
    "an override of the direction": "\u202e",
    "an isolate": "\u2066",
    "a mark of the direction": "\u200f",
    "a space without width": "\u200b",
    "a joiner without width": "\u200d",
    "a byte order mark": "\ufeff",
    "a soft hyphen": "\xad",
    "a space that is not one": "\xa0",
    "a filler of Hangul": "\u3164",
    "a joiner of graphemes": "\u034f",
    "a selector that can carry data": "\U000e0141",
    "a tag": "\U000e0041",
    "half a surrogate pair": "\ud800",
    "nothing": "\x00",
    "private use": "\ue000",
}


@pytest.mark.parametrize("name", FORGERS)
def test_what_cannot_be_seen_is_written_out(name: str) -> None:
    forger = FORGERS[name]
    shown = printable(f"a{forger}b")
    assert shown.isprintable()
    assert shown == "a" + forger.encode("unicode_escape").decode() + "b"
    assert forger not in quoted(forger)


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 世界", "a b", "👍", 'c:\\"x"'])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters()))
def test_every_text_comes_out_printable_and_whole(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert printable(shown) == shown
    # What can be seen is all there, in its order.
    rest = iter(shown)
    assert all(c in rest for c in text if printable(c) == c)


@given(st.text(st.characters(), max_size=20))
def test_a_quoted_text_does_not_leave_its_quotes(text: str) -> None:
    inside = quoted(text)[1:-1].replace("\\\\", "")
    assert '"' not in inside.replace('\\"', "")
