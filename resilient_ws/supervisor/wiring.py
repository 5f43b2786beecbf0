"""Builds the wire of a connection, with the user's callables attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.inbox.filter import ReplyFilter
from resilient_ws.supervisor.probe import Prober
from resilient_ws.supervisor.tapping import Tapping
from resilient_ws.transport.wire import Wire


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.inbox.restore_buffer import RestoreBuffer
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.settings import Settings


def new_wire(
    settings: Settings,
    buffer: RestoreBuffer,
    *,
    epoch: int,
    loop: asyncio.AbstractEventLoop,
    report: Callable[[Event], None],
    acknowledge: Callable[[str], None],
    complain: Callable[[str, str, Exception], None],
    on_fatal: Callable[[Exception], None],
) -> Wire:
    """Return a wire that is not connected yet.

    Args:
        settings: The arguments of ``connect()``.
        buffer: Takes the messages until ``on_open`` has returned.
        epoch: The ordinal that the connection will have when it opens.
        loop: The session's loop.
        report: Called with each event.
        acknowledge: Called with each id that ``ack_of`` finds.
        complain: Called when a callable raised: its name, its purpose, the exception.
        on_fatal: Called with a ``Fatal`` that a callable raised.
    """
    probe = settings.liveness.probe
    return Wire(
        buffer,
        settings.liveness,
        max_message_size=settings.max_message_size,
        intercept=_screen(
            settings.liveness,
            settings.outbox,
            acknowledge=acknowledge,
            complain=complain,
            on_fatal=on_fatal,
        ),
        make_probe=None
        if probe is None
        else Prober(probe, complain=complain, on_fatal=on_fatal),
        loop=loop,
        report=report,
        note=Tapping(
            settings.taps,
            epoch=epoch,
            clock=loop.time,
            complain=complain,
            on_fatal=on_fatal,
        )
        if settings.taps
        else None,
    )


def _screen(
    liveness: Liveness,
    outbox: Outbox,
    *,
    acknowledge: Callable[[str], None],
    complain: Callable[[str, str, Exception], None],
    on_fatal: Callable[[Exception], None],
) -> ReplyFilter | None:
    """Return a filter if ``is_answer`` or ``ack_of`` has to see each message."""
    if liveness.is_answer is None and outbox.ack_of is None:
        return None
    return ReplyFilter(
        is_answer=liveness.is_answer,
        ack_of=outbox.ack_of,
        deliver_acks=outbox.deliver_acks,
        acknowledge=acknowledge,
        complain=complain,
        on_fatal=on_fatal,
    )
