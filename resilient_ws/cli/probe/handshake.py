"""The handshake, and what the two sides agree on in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resilient_ws import ResilientWSError, printable
from resilient_ws.cli.probe.finding import Finding, Grade
from resilient_ws.cli.probe.link import ProbedLink


if TYPE_CHECKING:
    from resilient_ws import ConnectionOpened
    from resilient_ws.cli.probe.finding import Found, SuitableSettings
    from resilient_ws.cli.server_options import ServerOptions

#: A server that selects this one selects whatever it is offered.
_NOBODY_KNOWS: Final = "none-such"
#: Subprotocols that servers are known to insist on, offered where none was given. With
#: the one above they take less than 128 bytes, where libwebsockets cuts them off.
_KNOWN: Final = (
    "mqtt",
    "graphql-transport-ws",
    "graphql-ws",
    "wamp.2.json",
    "v12.stomp",
    "amqp",
    "ocpp2.0.1",
    "ocpp1.6",
    "xmpp",
)


def agreed(opened: ConnectionOpened, took: str, found: Found) -> None:
    """Say what came with the 101."""
    server = opened.headers.get("server")
    by = f" (Server: {printable(server[:40])})" if server else ""
    found(Finding("Handshake", Grade.OK, f"101 in {took}{by}"))
    if opened.subprotocol is not None:
        text = f"the server selected {printable(opened.subprotocol)}"
        found(Finding("Subprotocol", Grade.OK, text))
    deflate = opened.extensions.get("permessage-deflate")
    if deflate is None:
        text = "none: messages are not compressed"
    else:
        parameters = ", ".join(
            name if value is None else f"{name}={value}"
            for name, value in deflate.items()
        )
        text = "permessage-deflate" + (f" ({printable(parameters)})" if deflate else "")
    found(Finding("Extensions", Grade.OK, text))


async def look_for_subprotocol(
    options: ServerOptions, settings: SuitableSettings, found: Found, *, within: float
) -> bool:
    """Offer well-known subprotocols; say which one the server selects, if any.

    Returns:
        Whether it selected one that it knows.
    """
    try:
        async with ProbedLink(
            options, within=within, subprotocols=[_NOBODY_KNOWS, *_KNOWN]
        ) as link:
            await asyncio.sleep(0)
            selected = link.opened.subprotocol
    except ResilientWSError:
        selected = None
    if selected is None:
        text = "the server selects none of the well-known ones"
        found(Finding("Subprotocol", Grade.OK, text))
        return False
    if selected == _NOBODY_KNOWS:
        text = "the server agrees to any, so it ignores them"
        found(Finding("Subprotocol", Grade.OK, text))
        return False
    settings.subprotocol = selected
    speaks = {"mqtt": "MQTT: it is a broker", "amqp": "AMQP: it is a broker"}
    text = f"the server speaks {speaks.get(selected, printable(selected))}"
    remedy = f"Offer it: --subprotocol {printable(selected)}"
    found(Finding("Subprotocol", Grade.NOTE, text, remedy))
    settings.reasons.append(f"The server speaks {printable(selected)}.")
    return True
