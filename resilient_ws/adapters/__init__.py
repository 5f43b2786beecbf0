"""Libraries that people use already, on a session of this one.

Each module is named after the library that it adapts, and needs it to be installed:

- ``aiohttp``: pass ``resilient(client)`` where a library takes an
  ``aiohttp.ClientSession`` and calls its ``ws_connect``.
- ``websockets``: import ``connect`` from here instead.
- ``web3``: ``AsyncWeb3(ResilientProvider(client))``.
- ``slack``, ``bolt``: a Socket Mode client for slack_sdk, a handler for Bolt.
- ``gql``: ``gql.Client(transport=ResilientTransport(url))``.

They stand on the public API of the session and of feeds alone. ``aiohttp`` and
``websockets`` give their library one connection after another: ``held_connection``
makes each, when ``outages`` says that it is time. ``web3`` stands on a client of feeds,
``gql`` on a channel, and ``slack`` on ``overlap``, for two connections at a time.
"""
