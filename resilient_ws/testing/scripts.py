"""Scripts for a ScriptedServer: well-behaved servers, and others.

A script is an ``async`` function of one :class:`~resilient_ws.testing.Peer`. It is
called when the request of a connection has come. When it returns, the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.testing.frames import message


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.testing.peer import Peer

Script: TypeAlias = Callable[["Peer"], Awaitable[object]]

#: Seconds after which an accepted connection is open on the client's side.
SOON: Final = 0.01


async def hold(peer: Peer) -> None:
    """Accept, take everything, and say nothing."""
    await peer.accept()
    await peer.ended()


async def echo(peer: Peer) -> None:
    """Accept, and send everything back."""
    await peer.accept()
    while True:
        await peer.send(await peer.receive())


async def hang(peer: Peer) -> None:
    """Never answer the handshake."""
    await peer.ended()


async def mute_at_close(peer: Peer) -> None:
    """Accept, and never answer the close frame."""
    peer.answers_close = False
    await peer.accept()
    await peer.ended()


async def black_hole(peer: Peer) -> None:
    """Accept, and answer nothing from then on, not even pings."""
    peer.answers_pings = peer.answers_close = False
    await peer.accept()
    await peer.ended()


def closing(code: int | None, reason: str = "", *, after: float = SOON) -> Script:
    """Accept, close ``after`` that many seconds, and wait for the client's close frame.

    With ``after=0`` the close frame comes in one packet with the 101.
    """

    async def script(peer: Peer) -> None:
        await peer.accept()
        if after:
            await asyncio.sleep(after)
        await peer.close(code, reason)

    return script


def resetting(*, after: float = SOON) -> Script:
    """Accept, and reset ``after`` that many seconds."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        if after:
            await asyncio.sleep(after)
        await peer.reset()

    return script


def rejecting(
    status: int,
    *,
    retry_after: int | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Script:
    """Answer the handshake with a status other than 101."""

    async def script(peer: Peer) -> None:
        await peer.reject(status, retry_after=retry_after, headers=headers)

    return script


def feeding(*messages: str | bytes, then: Script | None = None) -> Script:
    """Accept, send messages, and then wait for the end or play another script."""

    async def script(peer: Peer) -> None:
        await peer.accept(tail=b"".join(map(message, messages)))
        await (peer.ended() if then is None else then(peer))

    return script
