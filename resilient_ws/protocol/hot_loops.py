"""The loops that take what floods consist of: compressed messages, fragments, pings.

Each walks over the frames of a received chunk, takes only those of its own kind, and
stops at the first byte of any other; ``receiver`` then parses that frame. So a walk
checks only as much of a header as it needs to recognize its kind.

They are similar to each other, and to ``pure.walk``, and still share no code. Measured:
a call for each header costs a small message a tenth of its time, and a branch for
compressed messages in ``walk`` slows down every chunk with a single message. So two of
them read lengths of 7 and 16 bits (RFC 6455 section 5.2), and the third those of 7
bits; ``header.read_header`` reads lengths of every form, for all other frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.frames import (
    BINARY,
    CONTINUATION,
    FIN,
    IS_16_BIT,
    MAX_SHORT,
    PING,
    PONG,
    RSV1,
    TEXT,
)
from resilient_ws.protocol.inflate import BadDeflate, Unfinished
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    Violation,
)


if TYPE_CHECKING:
    from collections.abc import Container

    from resilient_ws.protocol.inflate import Inflater
    from resilient_ws.protocol.message import Deliver


_WHOLE_PING: Final = FIN | PING
_WHOLE_PONG: Final = FIN | PONG

#: The first bytes of the frames that are a plain message.
WHOLE_PLAIN: Final = (FIN | TEXT, FIN | BINARY)
#: The first bytes of the frames that ``walk_deflated`` takes.
WHOLE_DEFLATED: Final = (FIN | RSV1 | TEXT, FIN | RSV1 | BINARY)
#: The bytes of the longest header of a frame of less than 64 KiB.
_SHORT_HEAD: Final = 4
#: The most bytes of a frame that ``is_cut``.
MAX_CUT: Final = _SHORT_HEAD + 0xFFFF
#: The first bytes of the frames that ``walk_pings`` takes.
PINGS: Final = (_WHOLE_PING, _WHOLE_PONG)


def walk_deflated(
    view: memoryview,
    pos: int,
    deliver: Deliver,
    room: int,
    inflater: Inflater,
    *,
    size_room: int,
    enough: int,
) -> tuple[int, int, int, Violation | Unfinished | None]:
    """Deliver whole compressed messages until another kind of frame comes.

    Args:
        view: The bytes. It must begin where its buffer does.
        pos: Where the first frame begins.
        deliver: Takes each message.
        room: The most messages to deliver.
        inflater: Inflates them.
        size_room: Stop once this many bytes have come out of zlib.
        enough: Stop at the first frame that begins at this position or later.

    Returns:
        The position where it stopped; the number of messages, and their payload bytes;
        and either the rule that the message there breaks, or a large message whose
        frame was taken and that is to be inflated further, or ``None``.
    """
    count, size, end = 0, 0, len(view)
    enough = min(enough, end)
    is_text = False
    reason: Violation | Unfinished | None = None
    data: bytes | bytearray = view.obj  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # as above
    try:
        while count < room and size < size_room and pos < enough:
            first = data[pos]
            length = data[pos + 1]
            if length <= MAX_SHORT:
                start = pos + 2
            elif length == IS_16_BIT:
                length = data[pos + 2] << 8 | data[pos + 3]
                if length <= MAX_SHORT:
                    break
                start = pos + 4
            else:
                break
            stop = start + length
            if stop > end or first not in WHOLE_DEFLATED:
                break
            is_text = first & TEXT != 0
            made, rest = inflater.inflate_message(view[start:stop])
            pos = stop
            if rest is not None:
                reason = Unfinished(made, rest, is_text)
                break
            deliver(made.decode() if is_text else made)
            size += len(made)
            count += 1
    except IndexError:
        pass  # the buffer is full, and ends within a header
    except (BadDeflate, UnicodeDecodeError):
        reason = BAD_DEFLATED_TEXT if is_text else BAD_DEFLATE
    return pos, count, size, reason


def is_cut(view: memoryview, pos: int, limit: int, firsts: Container[int]) -> bool:
    """Return whether a message begins at ``pos``, in a short frame that is cut.

    Args:
        view: The bytes.
        pos: Where a frame begins.
        limit: The most bytes of payload that it may have.
        firsts: The first bytes of frames that are messages.
    """
    here = len(view) - pos
    if here < _SHORT_HEAD or view[pos] not in firsts:
        return False
    length = view[pos + 1]
    if length <= MAX_SHORT:
        return 2 + length > here and length <= limit
    if length != IS_16_BIT:
        return False
    length = view[pos + 2] << 8 | view[pos + 3]
    return _SHORT_HEAD + length > here and MAX_SHORT < length <= limit


def walk_fragments(
    view: memoryview, pos: int, parts: list[memoryview | bytes], room: int, steps: int
) -> tuple[int, int, int, bool]:
    """Collect the payloads of continuation frames until another kind of frame comes.

    Args:
        view: The bytes.
        pos: Where the first frame begins.
        parts: Takes the payloads; that of the last frame may be incomplete.
        room: The most payload bytes that the frames may announce together.
        steps: The most frames to take.

    Returns:
        The position where the last frame ends, which is past the end of the view if the
        frame is incomplete; the room and the steps left; and whether the message ends
        there.
    """
    end, is_last = len(view), False
    try:
        while pos < end and steps > 0 and not is_last:
            first, length = view[pos], view[pos + 1]
            if first & ~FIN != CONTINUATION:
                break
            if length <= MAX_SHORT:
                start = pos + 2
            elif length == IS_16_BIT:
                start = pos + 4
                length = view[pos + 2] << 8 | view[pos + 3]
                if length <= MAX_SHORT:
                    break
            else:
                break
            if length > room:
                break
            room -= length
            pos = start + length
            # Copies, because thousands of views would make the garbage collector scan
            # all objects of the process.
            parts.append(view[start:pos].tobytes())
            is_last = first != CONTINUATION
            steps -= 1
    except IndexError:
        pass  # the chunk ends within a header
    return pos, room, steps, is_last


def walk_pings(
    view: memoryview, pos: int, pings: list[bytes], pongs: list[bytes], steps: int
) -> tuple[int, int]:
    """Collect the payloads of pings and pongs until another kind of frame comes.

    Args:
        view: The bytes.
        pos: Where the first frame begins.
        pings: Takes the payloads of pings.
        pongs: Takes the payloads of pongs.
        steps: The most frames to take.

    Returns:
        The position where it stopped, and the steps left.
    """
    end = len(view)
    while steps > 0 and pos + 1 < end:
        first, length = view[pos], view[pos + 1]
        stop = pos + 2 + length
        if length > MAX_SHORT or stop > end:
            break
        if first == _WHOLE_PONG:
            pongs.append(view[pos + 2 : stop].tobytes())
        elif first == _WHOLE_PING:
            pings.append(view[pos + 2 : stop].tobytes())
        else:
            break
        pos = stop
        steps -= 1
    return pos, steps
