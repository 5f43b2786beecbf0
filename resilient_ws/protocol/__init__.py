"""RFC 6455 without I/O: bytes go in, messages and bytes come out.

Nothing in here knows a socket, a loop or a clock, and nothing imports the rest of
``resilient_ws``. ``handshake`` asks for the connection; ``engine`` is all of it for one
connection once that stands. What it receives goes through ``inbound``, which keeps in
``held`` what it cannot take yet, has frames judged by ``header``, leaves pings, pongs
and the close frame to ``control``, and messages in frames to ``assembly``, which
collects ``pieces``; ``violation`` is what may be wrong with any of it. ``frames`` has
the bytes of our own frames, ``deflate`` the compression, ``close`` the codes and the
record of the end, ``text`` what may be said of what a peer wrote.
"""
