"""What a FaultProxy can do to connections. Each fault is a value.

Most faults last from when they are applied until ``heal()``, and hold for open
connections and for new ones. ``Reset``, ``Drop`` and ``HalfClose`` happen once, to the
connections that are open. Faults that only new connections meet are in ``refusals``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import attrs

from resilient_ws.testing.pipe import End
from resilient_ws.testing.proxied_connection import Direction, Fault


if TYPE_CHECKING:
    from resilient_ws.testing.proxied_connection import FaultScript, ProxiedConnection

#: Seconds between two writes of a throttled pipe.
_THROTTLED_INTERVAL: Final = 0.02

_DIRECTION: Final = attrs.validators.in_(("up", "down", "both"))
_ENDS: Final = {"reset": End.RST, "drop": End.FIN}


@attrs.frozen
class Healthy(Fault):
    """No fault. Applied to a connection, it lifts the faults imposed before."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Lift the faults of the connection."""
        connection.heal()


@attrs.frozen
class BlackHole(Fault):
    """Swallow everything, including the end of the stream, and keep the connection.

    A connection that has lost something stays a black hole after ``heal()``, because
    TCP never delivers a stream with a hole in it. :class:`Freeze` can be healed.

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
    """Let nothing through, and lose nothing: after ``heal()`` everything arrives.

    Args:
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Let nothing through from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.freeze()


@attrs.frozen
class Delay(Fault):
    """Let everything through, but later.

    Args:
        seconds: The delay.
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
    """Limit the bytes that pass in a second.

    Args:
        rate: Bytes a second.
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    rate: float = attrs.field(validator=attrs.validators.gt(0))
    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Keep to the rate from now on."""
        piece = max(1, int(self.rate * _THROTTLED_INTERVAL))
        for pipe in connection.pipes(self.direction):
            pipe.pace(piece, self.rate)


@attrs.frozen
class Dribble(Fault):
    """Write one byte at a time.

    Args:
        interval: Seconds between two bytes; 0 for as fast as possible.
        direction: ``"up"`` (from the client), ``"down"`` (to it) or ``"both"``.
    """

    interval: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    direction: Direction = attrs.field(default="both", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """Write single bytes from now on."""
        rate = 1 / self.interval if self.interval else None
        for pipe in connection.pipes(self.direction):
            pipe.pace(1, rate)


@attrs.frozen
class Cut(Fault):
    """End the connection at an exact byte, which may be in the middle of a frame.

    Args:
        after: How many more bytes pass, counted from when the fault is applied. For a
            new connection they include those of the handshake.
        direction: Which direction is counted: ``"up"`` (from the client), ``"down"``
            (to it) or ``"both"`` (the first one to reach the number ends both).
        how: ``"reset"`` (RST) or ``"drop"`` (FIN), to both sides.
    """

    after: int = attrs.field(
        validator=[attrs.validators.instance_of(int), attrs.validators.ge(0)]
    )
    direction: Direction = attrs.field(default="down", validator=_DIRECTION)
    how: Literal["reset", "drop"] = attrs.field(
        default="reset", validator=attrs.validators.in_(tuple(_ENDS))
    )

    def impose(self, connection: ProxiedConnection) -> None:
        """Count from now on."""
        for pipe in connection.pipes(self.direction):
            pipe.cut(self.after, _ENDS[self.how])


@attrs.frozen
class Reset(Fault):
    """End the open connections now, with an RST to both sides."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Reset the connection."""
        connection.end(End.RST)


@attrs.frozen
class Drop(Fault):
    """End the open connections now, with a FIN to both sides and no close frame."""

    is_momentary: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """End the connection with a FIN."""
        connection.end(End.FIN)


@attrs.frozen
class HalfClose(Fault):
    """End one direction with a FIN behind what has come. The other goes on.

    What the source sends later is swallowed.

    Args:
        direction: ``"up"``: the server sees the end; ``"down"``: the client does.
    """

    is_momentary: ClassVar[bool] = True

    direction: Direction = attrs.field(default="down", validator=_DIRECTION)

    def impose(self, connection: ProxiedConnection) -> None:
        """End the direction."""
        for pipe in connection.pipes(self.direction):
            pipe.half_close()


def timed(*steps: tuple[float, Fault]) -> FaultScript:
    """Make a script that applies faults to one connection, each at its time.

    ::

        proxy.play(timed((5, Freeze()), (7, Healthy()), (60, Reset())))

    Args:
        steps: Seconds since the server was reached, and the fault to apply then.
    """
    ordered = sorted(steps, key=lambda step: step[0])

    async def script(connection: ProxiedConnection) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for when, fault in ordered:
            await asyncio.sleep(began + when - loop.time())
            connection.apply(fault)

    return script
