"""Reads and checks the header of a received frame (RFC 6455 section 5.2).

Each byte is checked as soon as it has come: the kind of frame by the first, the mask
and the form of the length by the second, the length once all of it is there. So the
rule that a header breaks first does not depend on how its bytes were cut. Each
``wrong_...`` function says what is wrong in words that complete "the server sent ...".
"""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    IS_16_BIT,
    MASKED,
    MAX_16_BIT,
    MAX_SHORT,
    PING,
    PONG,
    RSV,
    RSV1,
    TEXT,
)
from resilient_ws.protocol.violation import BrokenRule, Violation


_OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})


@attrs.define  # frozen, or by keyword, costs up to half a microsecond more
class Header:
    """The header of a received frame, whose length is not checked yet.

    Attributes:
        fin: Whether it is the last frame of its message.
        rsv: The three reserved bits, at their place in the first byte.
        opcode: The kind of frame.
        size: The bytes of payload that the header announces.
        minimal: Whether the length is in its shortest form.
        end: Where the header ends and the payload begins.
    """

    fin: bool
    rsv: int
    opcode: int
    size: int
    minimal: bool
    end: int


def take_header(
    data: bytes | memoryview, pos: int, *, inside: bool, deflates: bool
) -> Header | None:
    """Check and return the header at ``pos``; ``None`` if it is incomplete.

    Args:
        data: The received bytes.
        pos: Where the header begins.
        inside: Whether a fragmented message is under way.
        deflates: Whether compression was agreed on.

    Raises:
        BrokenRule: The header breaks a rule, as far as it has come.
    """
    what = wrong_start(data, pos, inside=inside, deflates=deflates)
    if what is None:
        header = read_header(data, pos)
        if header is None:
            return None
        what = wrong_length(header)
        if what is None:
            return header
    raise BrokenRule(Violation(code=1002, text=f"the server sent {what}"))


def read_header(data: bytes | memoryview, pos: int) -> Header | None:
    """Return the header at ``pos`` without a check; ``None`` if it is incomplete."""
    if len(data) < pos + 2:
        return None
    first, second = data[pos], data[pos + 1]
    size, least, end = second & ~MASKED, 0, pos + 2
    if size > MAX_SHORT:
        width, least = (2, MAX_SHORT) if size == IS_16_BIT else (8, MAX_16_BIT)
        end += width
        if len(data) < end:
            return None
        size, least = int.from_bytes(data[pos + 2 : end]), least + 1
    minimal = size >= least
    return Header(first & FIN != 0, first & RSV, first & 0x0F, size, minimal, end)


def wrong_start(
    data: bytes | memoryview, pos: int, *, inside: bool, deflates: bool = False
) -> str | None:
    """Return what is wrong with the first two bytes of a header, ``None`` if nothing.

    Args:
        data: The received bytes; the second byte may be missing.
        pos: Where the header begins.
        inside: Whether a fragmented message is under way.
        deflates: Whether compression was agreed on: then RSV1 may be set on the first
            frame of a message, and nowhere else.
    """
    first = data[pos]
    what = _WRONG_FIRST[inside, deflates][first]
    if what is not None or len(data) == pos + 1:
        return what
    second = data[pos + 1]
    if second & MASKED:
        return "a masked frame"
    if second > MAX_SHORT and first & CLOSE:
        return "a control frame above 125 bytes"
    return None


def wrong_length(header: Header) -> str | None:
    """Return what is wrong with the length in a header, ``None`` if nothing."""
    if header.size >> 63:
        return "a length with its top bit set"
    if not header.minimal:
        return "a length that is not in its shortest form"
    return None


def _wrong_first(first: int, *, inside: bool, deflates: bool) -> str | None:
    opcode = first & 0x0F
    begins = opcode in (TEXT, BINARY)
    claimed = RSV1 if deflates and begins else 0
    rules = (
        (first & RSV & ~claimed, "a reserved bit that no extension claims"),
        (opcode not in _OPCODES, "a reserved opcode"),
        (opcode >= CLOSE and not first & FIN, "a fragmented control frame"),
        (opcode == CONTINUATION and not inside, "a continuation of nothing"),
        (begins and inside, "a message inside a fragmented one"),
    )
    return next((what for broken, what in rules if broken), None)


#: What is wrong with each possible first byte, by ``inside`` and ``deflates``. A table,
#: because a message of many frames has each of them checked.
_WRONG_FIRST: Final = {
    (inside, deflates): tuple(
        _wrong_first(first, inside=inside, deflates=deflates) for first in range(256)
    )
    for inside in (False, True)
    for deflates in (False, True)
}
