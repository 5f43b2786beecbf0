"""The requests of an MQTT client: numbered, and messages repeated until answered.

Rules: all requests that wait for an answer have different numbers. A message that may
have arrived keeps its number on the next connection, and is marked.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Literal

from resilient_ws import Fatal
from resilient_ws.feeds.protocols.mqtt_packets import MQTTMessage, Publish
from resilient_ws.policy._validate import whole_number


if TYPE_CHECKING:
    from resilient_ws.feeds.channel import Channel
    from resilient_ws.feeds.protocols.mqtt_packets import Subscribe, Unsubscribe
    from resilient_ws.feeds.requests import Requests


class MQTTRequests:
    """Sends the requests of one client.

    Args:
        version: The version of MQTT.
        in_flight: Messages that wait for the broker at once.
    """

    def __init__(self, version: int, in_flight: int) -> None:
        self._version = version
        self._in_flight = in_flight
        self._window = asyncio.Semaphore(in_flight)
        self._numbers = itertools.cycle(range(1, 1 << 16))

    def opened(self, about: dict[str, Any]) -> None:
        """Take note of a connection, and of what the broker said of it.

        Raises:
            Fatal: The broker takes fewer messages at once.
        """
        most = about.get("receive_maximum", self._in_flight)
        if most < self._in_flight:
            raise Fatal(f"The broker takes {most} messages at once: pass in_flight=.")

    async def ask(self, requests: Requests, packet: Subscribe | Unsubscribe) -> None:
        """Send a request on one connection, and wait for its answer.

        Raises:
            CallLost: The connection ended first.
            CallTimeout: No answer came in time.
            MQTTError: The broker refused it.

        Cancellation:
            The answer is no longer expected.
        """
        number = next(self._numbers)
        wire = packet.encode(self._version, number)
        await requests.ask((packet.ANSWER, number), wire)

    async def publish(
        self,
        channel: Channel,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 1,
        retain: bool = False,
        **about: Any,
    ) -> None:
        """Publish a message, with QoS 1 until the broker has taken it.

        Args:
            channel: The channel of this protocol.
            topic: The topic, without wildcards.
            payload: The message.
            qos: 1 (default), sent again on the next connection where no answer came; or
                0, sent once.
            retain: Whether the broker keeps it for those who subscribe later.
            about: Properties of version 5, such as ``content_type="text/plain"``.

        Raises:
            CallTimeout: The broker did not answer in time; it may have the message.
            MQTTError: The broker refused it.
            ResilientWSError: The session has ended.
            TypeError: ``qos`` is not a whole number.
            ValueError: The topic is not one, or too long; ``qos`` is neither 0 nor 1.

        Cancellation:
            The broker may have the message.
        """
        whole_number("qos", qos, at_least=0, at_most=1)
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(
                "A topic to publish to is not empty, and has no wildcards."
            )
        message = MQTTMessage(topic, payload, qos, retain, properties=about)
        packet, number = Publish(message), next(self._numbers)
        first = packet.encode(self._version, number)
        if not qos:
            await channel.send(first)
            return

        def wire(again: bool) -> bytes:  # noqa: FBT001 - a callback
            return packet.encode(self._version, number, dup=True) if again else first

        async with self._window:
            await channel.ask((packet.ANSWER, number), wire, repeat=True)
