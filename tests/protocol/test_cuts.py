"""The same bytes end in the same verdict, however the network cut them.

What stands first in the stream decides; a length counts from the header that announces
it. Messages here are broken in several ways at once: too long, not UTF-8, not
compressed data.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    BAD_TEXT,
    Violation,
    too_big,
)
from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner


#: Each of them on each zlib.
pytestmark = pytest.mark.usefixtures("each_zlib")

CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9
LIMIT = 40
RSV1 = 4
TOO_BIG = too_big(LIMIT + 1, LIMIT)

BOOLS = st.booleans()
#: Parts of text: whole characters of each length, bytes that are none, and halves.
PARTS = st.sampled_from(
    [
        *(b"a", b"b" * 9, b"c" * 39, b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9d\x84\x9e"),
        *(
            b"\xff",
            b"\xc3",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xed",
            b"\xf4\x90",
            b"\xc0",
        ),
    ]
)
CONTENT = st.lists(PARTS, max_size=9).map(b"".join)
#: What follows the compressed content: nothing, an end of the stream, no such data.
ENDS = st.sampled_from(
    [
        *(
            b"",
            b"\x03\x00",
            b"\x07",
            b"\xff" * 4,
            b"\x00\x01\x00\x00\x00ab",
            b"\x00" * 3,
        ),
        *(b"\x03\x00\x00\x00\xff\xff", b"\x03\x00\x01", b"\x01\x00\x00\xff\xff"),
    ]
)


def squeezed(parts: list[bytes], level: int, strategy: int) -> bytes:
    """Compress parts in blocks of their own, so that their ends are in the data."""
    stream = zlib.compressobj(level, wbits=-15, strategy=strategy)
    made = [
        stream.compress(part) + stream.flush(zlib.Z_PARTIAL_FLUSH) for part in parts
    ]
    return b"".join(made) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


@st.composite
def compressed(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(CONTENT, max_size=4))
    strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY]
    payload = squeezed(
        parts, draw(st.integers(0, 9)), draw(st.sampled_from(strategies))
    )
    payload = payload[: draw(st.integers(0, len(payload)))] if draw(BOOLS) else payload
    return payload + draw(ENDS)


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """One message, fragmented or not, with pings between its frames or not."""
    deflated = draw(BOOLS)
    payload = draw(compressed() if deflated else CONTENT)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    ends = [0, *cuts, len(payload)]
    made = []
    for number, (start, stop) in enumerate(pairwise(ends)):
        made.append(
            frame(
                CONTINUATION if number else draw(st.sampled_from([TEXT, BINARY])),
                payload[start:stop],
                fin=number == len(cuts),
                rsv=0 if number or not deflated else RSV1,
            )
        )
        if draw(BOOLS):
            made.append(frame(PING, b"p"))
    return b"".join(made)


def owner(*, takeover: bool = True, releases: bool = True) -> Owner:
    agreed = DeflateParameters(peer_takeover=takeover)
    return Owner(limit=LIMIT, agreed=agreed, releases=releases)


def after(
    stream: bytes, cuts: list[int], *, room: int, takeover: bool, releases: bool = True
) -> Owner:
    """Give a stream to an engine in pieces that end at ``cuts``."""
    taking = owner(takeover=takeover, releases=releases)
    ends = [0, *sorted(cuts), len(stream)]
    for start, stop in pairwise(ends):
        taking.receive(stream[start:stop], room)
    taking.finish(max(room, 1))
    return taking


@settings(deadline=None)
@given(
    st.lists(message(), min_size=1, max_size=3).map(b"".join),
    st.data(),
    BOOLS,
)
def test_a_broken_message_has_one_verdict_however_it_is_cut(
    stream: bytes, data: st.DataObject, takeover: bool
) -> None:
    whole = after(stream, [], room=1 << 30, takeover=takeover)
    singly = after(stream, list(range(len(stream))), room=1 << 30, takeover=takeover)
    assert singly.seen() == whole.seen()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    room, releases = data.draw(st.integers(0, 3)), data.draw(BOOLS)
    some = after(stream, cuts, room=room, takeover=takeover, releases=releases)
    assert some.seen() == whole.seen()


def deflated(data: bytes, opcode: int = TEXT, end: bytes = b"") -> bytes:
    return frame(opcode, squeezed([data], 9, zlib.Z_FIXED) + end, rsv=RSV1)


@pytest.mark.parametrize(
    ("stream", "violation"),
    [
        # The header announces it, before any of the text has come.
        (frame(TEXT, b"\xff" * (LIMIT + 1)), TOO_BIG),
        (frame(TEXT, b"\xff" * LIMIT), BAD_TEXT),
        # The first frame fits and is no text; the second would be too much.
        (
            frame(TEXT, b"\xff" * LIMIT, fin=False) + frame(CONTINUATION, b"a"),
            BAD_TEXT,
        ),
        (frame(TEXT, b"a" * LIMIT, fin=False) + frame(CONTINUATION, b"\xff"), TOO_BIG),
        # Half a character at the limit is no wrong yet, and what follows is too much.
        (
            frame(TEXT, b"a" * 39 + b"\xc3", fin=False) + frame(CONTINUATION, b"\xff"),
            TOO_BIG,
        ),
        (deflated(b"\xff" + b"a" * LIMIT), BAD_DEFLATED_TEXT),
        (deflated(b"a" * (LIMIT - 1) + b"\xff" + b"a" * 99), BAD_DEFLATED_TEXT),
        (deflated(b"a" * LIMIT + b"\xff"), TOO_BIG),
        (deflated(b"a" * LIMIT, end=b"\x07"), BAD_DEFLATED_TEXT),
        (deflated(b"a" * (LIMIT + 1), end=b"\x07"), TOO_BIG),
        (deflated(b"\xff" * LIMIT, BINARY, end=b"\x07"), BAD_DEFLATE),
        (deflated(b"\xff" * 99, BINARY, end=b"\x07"), TOO_BIG),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_what_stands_first_decides(
    stream: bytes, violation: Violation, size: int
) -> None:
    taking = owner()
    for start in range(0, len(stream), size):
        taking.receive(stream[start : start + size])
        taking.finish()
    assert taking.receiver.violation == violation
    assert taking.messages == []
