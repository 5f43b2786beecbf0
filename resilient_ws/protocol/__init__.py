"""RFC 6455 without I/O: bytes go in, messages and bytes come out.

Nothing here knows a socket, a loop or a clock, and nothing imports the rest of
``resilient_ws``. ``handshake`` opens the connection, and ``engine`` serves it from then
on: it makes the bytes to send, and its ``receiver`` parses what is received.

- To receive: ``receiver`` stores bytes that must wait in ``unparsed``, has the
  ``hot_loops`` take what is frequent, and checks all other frames with ``header``.
  ``assembler`` builds a message from frames in parts; ``payload`` collects plain parts,
  and ``inflate`` compressed ones. ``violation`` lists the rules that a peer may break,
  and ``steps`` limits the work of one call.
- To send: ``frames`` has the parts of a frame, the ``hot_loops`` make those of
  messages, and ``deflate`` agrees on compression and compresses.
- ``close`` has the close codes and the record of a close, ``message`` the types of a
  message, and ``text`` makes a peer's text safe to show.
"""
