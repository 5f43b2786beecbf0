"""What a FaultProxy can do to connections: each fault is a value.

Some hold from when they are applied until ``heal()``, for the connections there are
and for new ones; ``Reset``, ``Drop`` and ``HalfClose`` happen once, to the connections
there are. Those that meet new connections alone are in ``refusals``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import attrs

from resilient_ws.testing.connection import Direction, ProxiedConnection
from resilient_ws.testing.pipe import End


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CHUNK: Final = 64 * 1024
#: A rate is kept in pieces of this many seconds.
_PIECE: Final = 0.02

_DIRECTION: Final = attrs.validators.in_(("up", "down", "both"))
_HOW: Final = {"reset": End.RST, "drop": End.FIN}


@attrs.frozen
class Fault:
    """Something that can go wrong with a connection."""

    #: Whether it happens once, instead of lasting.
    is_momentary: ClassVar[bool] = False
    #: Whether nobody listens while it lasts.
    closes_port: ClassVar[bool] = False

    def impose(self, connection: ProxiedConnection) -> None:
        """Do it to one connection."""
        raise NotImplementedError


@attrs.frozen
class Healthy(Fault):
    """No fault: what was imposed on a connection is lifted."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Lift what there is."""
        connection.heal()


@attrs.frozen
class BlackHole(Fault):
    """Swallow everything, the end of the stream too, and keep the connection.

    A connection of which something was swallowed stays so after ``heal()``: a stream
    with a hole in it is nothing that TCP ever delivers. :class:`Freeze` can be healed.

    Args:
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Swallow from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.swallow()


@attrs.frozen
class Freeze(Fault):
    """Let nothing through, and lose nothing: after ``heal()`` it all arrives.

    Args:
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Stand still from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.freeze()


@attrs.frozen
class Delay(Fault):
    """Let everything through later.

    Args:
        seconds: By how much.
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    seconds: float = attrs.field(validator=attrs.validators.ge(0))
    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Delay from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.delay(self.seconds)


@attrs.frozen
class Throttle(Fault):
    """Let so many bytes a second through, and no more.

    Args:
        rate: Bytes a second.
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    rate: float = attrs.field(validator=attrs.validators.gt(0))
    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Keep to the rate from now on."""
        piece = min(_CHUNK, max(1, int(self.rate * _PIECE)))
        for pipe in connection.pipes(self.direction):
            pipe.pace(piece, self.rate)


@attrs.frozen
class Dribble(Fault):
    """Write every byte by itself.

    Args:
        interval: Seconds between two bytes; 0 for as fast as they go.
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    interval: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Dribble from now on."""
        rate = 1 / self.interval if self.interval else None
        for pipe in connection.pipes(self.direction):
            pipe.pace(1, rate)


@attrs.frozen
class Cut(Fault):
    """End the connection at an exact byte, be it in the middle of a frame.

    Args:
        after: Bytes that still pass, counted from when the fault is applied; for a new
            connection from its first byte, which is the handshake's.
        direction: Of which direction: ``"up"`` (from the client), ``"down"`` (to it)
            or ``"both"`` (whichever comes there first).
        how: ``"reset"`` (RST) or ``"drop"`` (FIN), to both sides.
    """

    after: int = attrs.field(
        validator=[attrs.validators.instance_of(int), attrs.validators.ge(0)]
    )
    direction: Direction = attrs.field(default="down", validator=_DIRECTION)
    how: Literal["reset", "drop"] = attrs.field(
        default="reset", validator=attrs.validators.in_(tuple(_HOW))
    )

    def impose(self, connection: ProxiedConnection) -> None:
        """Count from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.cut(self.after, _HOW[self.how])


@attrs.frozen
class Reset(Fault):
    """End the connections there are with an RST to both sides, now."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Reset it."""
        connection.end(End.RST)


@attrs.frozen
class Drop(Fault):
    """End the connections there are with a FIN to both sides, now: no close frame."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Hang up."""
        connection.end(End.FIN)


@attrs.frozen
class HalfClose(Fault):
    """End one direction with a FIN behind what has come; the other goes on.

    What its source sends later is swallowed.

    Args:
        direction: ``"up"``: the server sees the end; ``"down"``: the client does.
    """

    is_momentary: ClassVar[bool] = True

    direction: Direction = attrs.field(default="down", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """End the stream."""
        for pipe in connection.pipes(self.direction):
            pipe.half_close()


def timed(
    *steps: tuple[float, Fault],
) -> Callable[[ProxiedConnection], Awaitable[object]]:
    """Make a script of faults for one connection, each at its time.

    ::

        proxy.play(timed((5, Freeze()), (7, Healthy()), (60, Reset())))

    Args:
        steps: Seconds since the server was reached, and what happens then.
    """
    ordered = sorted(steps, key=lambda step: step[0])

    async def script(connection: ProxiedConnection) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for when, fault in ordered:
            await asyncio.sleep(began + when - loop.time())
            connection.apply(fault)

    return script
