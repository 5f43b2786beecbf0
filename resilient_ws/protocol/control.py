"""Control frames: pings and pongs by the thousand, and the one close frame.

RFC 6455 section 5.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.close import CloseFrame, read_close
from resilient_ws.protocol.frames import FIN, MAX_SHORT, PING, PONG
from resilient_ws.protocol.violation import BAD_REASON, Broken, Violation


if TYPE_CHECKING:
    from collections.abc import Container


_PING: Final = FIN | PING
_PONG: Final = FIN | PONG

#: First bytes of what ``run_pings`` takes.
PINGS: Final[Container[int]] = (_PING, _PONG)


def run_pings(
    view: memoryview, pos: int, steps: int, pings: list[bytes], pongs: list[bytes]
) -> tuple[int, int]:
    """Take whole pings and pongs until something else comes: there may be a flood.

    Args:
        view: Where the frames are.
        pos: Where the first of them begins.
        steps: The most frames to take.
        pings: Takes the payloads of pings.
        pongs: Takes the payloads of pongs.

    Returns:
        Where it stopped, and how many steps are left. What it stopped at may be
        anything, a broken rule too.
    """
    end = len(view)
    while steps > 0 and pos + 1 < end:
        first, length = view[pos], view[pos + 1]
        stop = pos + 2 + length
        if length > MAX_SHORT or stop > end:
            break
        if first == _PONG:
            pongs.append(view[pos + 2 : stop].tobytes())
        elif first == _PING:
            pings.append(view[pos + 2 : stop].tobytes())
        else:
            break
        pos = stop
        steps -= 1
    return pos, steps


def take_close(payload: bytes) -> CloseFrame:
    """Return the close frame that has this payload.

    Raises:
        Broken: It breaks a rule.
    """
    try:
        return read_close(payload)
    except UnicodeDecodeError:
        raise Broken(BAD_REASON) from None
    except ValueError as error:
        raise Broken(Violation(code=1002, text=str(error))) from None
