"""RFC 6455 without I/O: bytes go in, messages and bytes come out.

Nothing in here knows a socket, a loop or a clock, and nothing imports the rest of
``resilient_ws``. ``handshake`` asks for the connection, ``frames`` has the bytes of
one frame, ``close`` the codes and the record of the end, ``inbound`` turns what is
received into messages, and ``engine`` is all of it for one connection.
"""
