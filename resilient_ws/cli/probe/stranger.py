"""Finds out what a server that answers no WebSocket handshake speaks instead."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from resilient_ws.cli.probe.finding import Finding, Grade
from resilient_ws.cli.probe.reach import speaks_tls


if TYPE_CHECKING:
    from resilient_ws.cli.probe.finding import Found
    from resilient_ws.cli.probe.reach import ProbedPlace

#: Seconds that a server gets to answer in its own protocol.
_WITHIN: Final = 3.0
#: MQTT 3.1.1, section 3.1: CONNECT with a clean session and the client id "probe".
_MQTT_CONNECT: Final = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x0a\x00\x05probe"
#: Section 3.2: CONNACK.
_MQTT_ANSWER: Final = b"\x20\x02"


async def identify(place: ProbedPlace, found: Found) -> bool:
    """Say what the server speaks, if it can be found out; return whether it could."""
    if not place.encrypted and await speaks_tls(place, within=_WITHIN):
        text = f"{place} speaks TLS"
        found(Finding("Protocol", Grade.BAD, text, "Use wss:// in the URL."))
        return True
    if not place.encrypted and await _speaks_mqtt(place):
        text = f"{place} is the plain port of an MQTT broker"
        remedy = (
            "Dial the broker's WebSocket listener, which is another port (often 8083, "
            "8084, 9001 or 443), with --subprotocol mqtt."
        )
        found(Finding("Protocol", Grade.BAD, text, remedy))
        return True
    return False


async def _speaks_mqtt(place: ProbedPlace) -> bool:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_WITHIN):
            reader, writer = await asyncio.open_connection(place.host, place.port)
            try:
                writer.write(_MQTT_CONNECT)
                return await reader.readexactly(2) == _MQTT_ANSWER
            finally:
                writer.transport.abort()
    return False
