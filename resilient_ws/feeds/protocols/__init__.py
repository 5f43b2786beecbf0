"""Wire protocols for a channel: each tells where a message belongs, and logs in.

Each is a module with one class, derived from ``resilient_ws.feeds.Plain``, or from
``NumberedCommands`` where commands are numbered. What several of them share is in
modules of its own: ``answers`` and ``credentials`` for logins, ``pushed`` and ``kept``
for servers that remember a client, ``urls`` for those that say where to dial next.

::

    from resilient_ws import connect
    from resilient_ws.feeds import Channel
    from resilient_ws.feeds.protocols import GraphQL

    graphql = GraphQL()
    url = "wss://api.example.com/graphql"
    session = connect(url, subprotocols=[GraphQL.SUBPROTOCOL])
    async with Channel(session, graphql) as channel:
        source = graphql.subscription("subscription { trades { price } }")
        async for result in await channel.subscribe(source):
            ...
"""

from resilient_ws.feeds.protocols.centrifugo import Centrifugo, CentrifugoError
from resilient_ws.feeds.protocols.discord import Discord
from resilient_ws.feeds.protocols.eventsub import EventSub
from resilient_ws.feeds.protocols.graphql import GraphQL, GraphQLError
from resilient_ws.feeds.protocols.home_assistant import (
    HomeAssistant,
    HomeAssistantError,
)
from resilient_ws.feeds.protocols.mqtt import MQTT
from resilient_ws.feeds.protocols.mqtt_packets import MQTTError, MQTTMessage
from resilient_ws.feeds.protocols.phoenix import Phoenix, PhoenixError, PhoenixEvent
from resilient_ws.feeds.protocols.pushed import PushedEvent
from resilient_ws.feeds.protocols.slack import Slack
from resilient_ws.feeds.recovery import Publication


__all__ = [
    "MQTT",
    "Centrifugo",
    "CentrifugoError",
    "Discord",
    "EventSub",
    "GraphQL",
    "GraphQLError",
    "HomeAssistant",
    "HomeAssistantError",
    "MQTTError",
    "MQTTMessage",
    "Phoenix",
    "PhoenixError",
    "PhoenixEvent",
    "Publication",
    "PushedEvent",
    "Slack",
]
