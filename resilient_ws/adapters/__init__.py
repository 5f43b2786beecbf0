"""Libraries that people use already, on a session of this one.

Each module is named after the library that it adapts, and needs it to be installed:

- ``aiohttp``: pass ``resilient(client)`` where a library takes an
  ``aiohttp.ClientSession`` and calls its ``ws_connect``.
- ``websockets``: import ``connect`` from here instead.

They stand on the public API of the session alone.
"""
