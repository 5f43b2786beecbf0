"""The loops that decide how fast the library is, side by side.

Four of them walk over the frames of a received chunk, and two make frames to send. A
walk takes only the frames that are frequent, and stops at the first byte of any other;
``receiver`` then parses that frame. So a walk checks only as much of a header as it
needs to recognize its own kind of frame.

The walks are similar and still share no code. Measured: a call for each header costs a
small message a tenth of its time, and a branch for compressed messages in ``walk``
slows down every chunk with a single message. So three walks read lengths of 7 and 16
bits (RFC 6455 section 5.2), and a fourth those of 7 bits; ``header.read_header`` reads
lengths of every form, for all other frames.

``walk``, ``frame`` and ``frames`` are the seam for a compiled twin: they are called
once for a chunk, a message or a batch, and take and return plain values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.deflate import MIN_SIZE
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
    frame_head,
)
from resilient_ws.protocol.inflate import BadDeflate, Unfinished
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    Violation,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resilient_ws.protocol.deflate import Deflater
    from resilient_ws.protocol.frames import Mask
    from resilient_ws.protocol.inflate import Inflater
    from resilient_ws.protocol.message import Deliver


_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY
_WHOLE_PING: Final = FIN | PING
_WHOLE_PONG: Final = FIN | PONG

#: Why ``walk`` stopped: it reached the end; there is no more room, or the next frame is
#: incomplete or of another kind; or the next message is not UTF-8.
ALL_TAKEN: Final = 0
STOPPED: Final = 1
NOT_UTF8: Final = 2

#: The head of the frame of a short message, by the size of the message.
_TEXT_HEADS: Final = tuple(frame_head(_WHOLE_TEXT, size) for size in range(126))
_BINARY_HEADS: Final = tuple(frame_head(_WHOLE_BINARY, size) for size in range(126))

#: The first bytes of the frames that ``walk_deflated`` takes.
WHOLE_DEFLATED: Final = (_WHOLE_TEXT | RSV1, _WHOLE_BINARY | RSV1)
#: The first bytes of the frames that ``walk_pings`` takes.
PINGS: Final = (_WHOLE_PING, _WHOLE_PONG)


def walk(  # noqa: C901, PLR0912 - calls would cost more than its work
    view: memoryview, pos: int, deliver: Deliver, room: int, limit: int
) -> tuple[int, int, int, int]:
    """Deliver whole plain messages until another kind of frame comes.

    Args:
        view: The bytes. It must begin where its buffer does.
        pos: Where the first frame begins.
        deliver: Takes each message.
        room: The most messages to deliver.
        limit: The most payload bytes of a message.

    Returns:
        The position where it stopped; the number of messages, and their payload bytes;
        and why it stopped: ``ALL_TAKEN``, ``STOPPED`` or ``NOT_UTF8``.
    """
    count, size, end = 0, 0, len(view)
    short = limit if limit < MAX_SHORT else MAX_SHORT  # noqa: FURB136 - min() is a call
    reason = STOPPED
    # Slicing the buffer costs half as much as slicing a view. Bytes past the end of the
    # view are from an older chunk: a frame whose header includes them ends past the end
    # too, and is not taken.
    data: bytes | bytearray = view.obj  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # it is one of the two
    try:
        while pos < end:
            if count >= room:
                break
            first = data[pos]
            length = data[pos + 1]
            if length <= short:
                start = pos + 2
            elif length == IS_16_BIT:
                length = data[pos + 2] << 8 | data[pos + 3]
                if not MAX_SHORT < length <= limit:
                    break
                start = pos + 4
            else:
                break
            stop = start + length
            if stop > end:
                break
            if first == _WHOLE_TEXT:
                deliver(data[start:stop].decode())
            elif first == _WHOLE_BINARY:
                deliver(view[start:stop].tobytes())
            else:
                break
            size += length
            pos = stop
            count += 1
        else:
            reason = ALL_TAKEN
    except IndexError:
        pass  # the buffer is full, and ends within a header
    except UnicodeDecodeError:
        reason = NOT_UTF8
    return pos, count, size, reason


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


def frame(
    message: str | bytes | bytearray | memoryview,
    take_key: Callable[[], bytes],
    mask: Mask,
    deflater: Deflater | None,
) -> bytes:
    """Return the frame of one message.

    Args:
        message: Text if it is a ``str``, binary otherwise.
        take_key: Returns a fresh masking key.
        mask: Masks a payload.
        deflater: Compresses messages of at least ``MIN_SIZE`` bytes, if given.
    """
    if isinstance(message, str):
        heads, payload = _TEXT_HEADS, bytearray(message.encode())
    else:
        heads, payload = _BINARY_HEADS, bytearray(message)
    size = len(payload)
    if size <= MAX_SHORT:
        head = heads[size]
    elif deflater is None or size < MIN_SIZE:
        head = frame_head(heads[0][0], size)
    else:
        head, payload = _deflated(heads[0][0], payload, deflater)
    key = take_key()
    mask(key, payload)
    return b"".join((head, key, payload))


def frames(
    messages: Iterable[str | bytes | bytearray | memoryview],
    take_key: Callable[[], bytes],
    mask: Mask,
    deflater: Deflater | None,
) -> bytes:
    """Return the frames of several messages, joined for one write.

    Its loop repeats ``frame``, because joining the parts of all frames at once copies
    each payload once less than joining finished frames. Measured with messages of 64
    bytes: in a batch each takes a quarter less time than with a call of its own, but a
    single one would take a fifth more than with ``frame``.
    """
    parts: list[bytes | bytearray] = []
    for message in messages:
        if isinstance(message, str):
            heads, payload = _TEXT_HEADS, bytearray(message.encode())
        else:
            heads, payload = _BINARY_HEADS, bytearray(message)
        size = len(payload)
        if size <= MAX_SHORT:
            head = heads[size]
        elif deflater is None or size < MIN_SIZE:
            head = frame_head(heads[0][0], size)
        else:
            head, payload = _deflated(heads[0][0], payload, deflater)
        key = take_key()
        mask(key, payload)
        parts += (head, key, payload)
    return b"".join(parts)


def _deflated(
    first: int, payload: bytearray, deflater: Deflater
) -> tuple[bytes, bytearray]:
    """Return the head and the payload of a message, compressed."""
    squeezed = bytearray(deflater.deflate(payload))
    return frame_head(first | RSV1, len(squeezed)), squeezed
