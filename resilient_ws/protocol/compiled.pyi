# The compiled twin of pure.py: see there what each takes and returns.

from collections.abc import Callable, Iterable
from typing import Final

from resilient_ws.protocol.frames import Mask
from resilient_ws.protocol.message import Deliver

INTERFACE: Final[int]

def walk(
    view: memoryview, pos: int, deliver: Deliver, room: int, limit: int, /
) -> tuple[int, int, int, int]: ...
def frame(
    message: str | bytes | bytearray | memoryview,
    take_key: Callable[[], bytes],
    mask: Mask,
    /,
) -> bytes: ...
def frames(
    messages: Iterable[str | bytes | bytearray | memoryview],
    take_key: Callable[[], bytes],
    mask: Mask,
    /,
) -> bytes: ...
