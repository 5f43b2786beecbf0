"""Servers of other hands: how something is said to each, and what it then has got."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from tests.servers.daemons import Mosquitto, Nats
from tests.servers.scripted import SERVERS
from tests.wire import brokers


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.servers.process import ServerProcess


BROKERS = ("mosquitto", "nats")
RECIPIENTS = (*sorted(SERVERS), *BROKERS)
TOPIC = "readings"


@dataclasses.dataclass(frozen=True)
class Recipient:
    """A server that takes texts.

    Attributes:
        server: Its process.
        path: Where to dial it.
        options: What ``connect`` has to be told.
        message: Makes of a text the message that brings it there.
        arrived: Returns the texts that it has got, in order: from its own log, or from
            a second client, of another hand, that a broker passes them on to.
    """

    server: ServerProcess
    path: str
    options: dict[str, Any]
    message: Callable[[str], str | bytes]
    arrived: Callable[[], list[str]]


@contextlib.asynccontextmanager
async def recipient(name: str, folder: Path) -> AsyncIterator[Recipient]:
    """Start one of ``RECIPIENTS``."""
    async with contextlib.AsyncExitStack() as stack:
        if name == "mosquitto":
            mosquitto = await stack.enter_async_context(Mosquitto(folder))
            texts = await stack.enter_async_context(
                brokers.mqtt_listener(mosquitto.url, TOPIC)
            )
            client = brokers.Client("first")
            yield Recipient(
                mosquitto,
                "/mqtt",
                {"subprotocols": ["mqtt"], "on_open": client.on_open},
                lambda text: brokers.publication(TOPIC, text),
                lambda: texts,
            )
        elif name == "nats":
            nats = await stack.enter_async_context(Nats(folder))
            texts = await stack.enter_async_context(
                brokers.nats_listener(nats.url, TOPIC)
            )
            yield Recipient(
                nats,
                "/",
                {"on_open": brokers.nats_hello},
                lambda text: brokers.nats_publication(TOPIC, text),
                lambda: texts,
            )
        else:
            scripted = await stack.enter_async_context(SERVERS[name]())
            yield Recipient(
                scripted,
                "/sink",
                {},
                str,
                lambda: [entry["text"] for entry in scripted.entries("message")],
            )
