"""A server that takes what is small enough, and ends at what is not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from resilient_ws.testing.frames import PONG, frame


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import Peer

#: Bytes of the largest message that it takes.
LIMIT = 1000


def ack_of(message: str | bytes) -> str | None:
    found: str | None = json.loads(message).get("ack")
    return found


def reading(number: int, *, poison: bool = False) -> str:
    return json.dumps({"id": str(number), "pad": "x" * (2 * LIMIT if poison else 1)})


def picky(
    taken: list[str],
    *,
    answer: str,
    accused: Callable[[Peer], Any],
    pongs: bool = True,
) -> Any:
    """A server that takes what is small enough, and ends at what is not.

    It answers pings in their turn: none behind a message that it does not take.
    """

    async def script(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        seen = answered = 0
        while not peer.gone:
            await asyncio.sleep(0.02)
            for message in peer.received[seen:]:
                assert isinstance(message, str)
                if len(message) > LIMIT:
                    await accused(peer)
                    return
                seen += 1
                taken.append(json.loads(message)["id"])
                if answer == "ack":
                    await peer.send(json.dumps({"ack": taken[-1]}))
            for ping in peer.pings[answered:] if pongs else ():
                answered += 1
                await peer.write(frame(PONG, ping))

    return script


def ending_with(code: int) -> Callable[[Peer], Any]:
    async def close(peer: Peer) -> None:
        await peer.close(code)

    return close


async def resetting(peer: Peer) -> None:
    await peer.reset()


ACCUSATIONS = {
    "1009": ending_with(1009),
    "4000": ending_with(4000),
    "crash": resetting,
}
