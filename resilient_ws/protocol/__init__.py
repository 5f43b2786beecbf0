"""RFC 6455 without I/O: bytes go in, messages and bytes come out.

Nothing here knows a socket, a loop or a clock, and nothing imports the rest of
``resilient_ws``. ``handshake`` opens the connection, and ``engine`` serves it from then
on. Received bytes go through ``inbound``, which stores bytes that must wait in
``held``, checks frames with ``header``, and leaves pings, pongs and the close frame to
``control`` and data frames to ``assembly``. ``assembly`` collects ``pieces``, which
``inflate`` decompresses; ``violation`` lists the rules that a peer may break, and
``work`` limits the work of one call. ``frames`` makes our own frames, ``deflate``
compresses our messages, ``close`` has the close codes and the record of a close, and
``text`` makes a peer's text safe to show.
"""
