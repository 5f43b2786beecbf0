"""The loops that decide how fast the library is, where nothing is compiled.

``walk`` takes the plain messages of a received chunk, and ``frame`` and ``frames`` make
frames to send. ``compiled.c`` is their twin, and ``walk`` the seam that chooses. They
are called once for a chunk, a message or a batch, and take and return plain values.
Anything that needs a rule is left to their callers.

``walk`` reads headers without a function for them: measured, a call for each header
costs a small message a tenth of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.frames import (
    BINARY,
    FIN,
    IS_16_BIT,
    MAX_SHORT,
    TEXT,
    frame_head,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resilient_ws.protocol.frames import Mask
    from resilient_ws.protocol.message import Deliver


#: Raised when what is taken or returned here changes, in ``compiled.c`` too: a library
#: that was built before is then left alone.
INTERFACE: Final = 1

_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY

#: Why ``walk`` stopped: it reached the end; there is no more room, or the next frame is
#: incomplete or of another kind; or the next message is not UTF-8.
ALL_TAKEN: Final = 0
STOPPED: Final = 1
NOT_UTF8: Final = 2

#: The head of the frame of a short message, by the size of the message.
_TEXT_HEADS: Final = tuple(frame_head(_WHOLE_TEXT, size) for size in range(126))
_BINARY_HEADS: Final = tuple(frame_head(_WHOLE_BINARY, size) for size in range(126))


def walk(  # noqa: C901, PLR0912 - calls would cost more than its work
    view: memoryview, pos: int, deliver: Deliver, room: int, limit: int
) -> tuple[int, int, int, int]:
    """Deliver whole plain messages until another kind of frame comes.

    Args:
        view: The bytes. It must begin where its buffer does.
        pos: Where the first frame begins.
        deliver: Takes each message; it must not raise.
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


def frame(
    message: str | bytes | bytearray | memoryview,
    take_key: Callable[[], bytes],
    mask: Mask,
) -> bytes:
    """Return the frame of one message.

    Args:
        message: Text if it is a ``str``, binary otherwise.
        take_key: Returns a fresh masking key.
        mask: Masks a payload.
    """
    if isinstance(message, str):
        heads, payload = _TEXT_HEADS, bytearray(message.encode())
    else:
        heads, payload = _BINARY_HEADS, bytearray(message)
    size = len(payload)
    head = heads[size] if size <= MAX_SHORT else frame_head(heads[0][0], size)
    key = take_key()
    mask(key, payload)
    return b"".join((head, key, payload))


def frames(
    messages: Iterable[str | bytes | bytearray | memoryview],
    take_key: Callable[[], bytes],
    mask: Mask,
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
        head = heads[size] if size <= MAX_SHORT else frame_head(heads[0][0], size)
        key = take_key()
        mask(key, payload)
        parts += (head, key, payload)
    return b"".join(parts)
