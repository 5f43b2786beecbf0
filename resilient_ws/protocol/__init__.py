"""RFC 6455 without I/O: bytes go in, messages and bytes come out.

Nothing here knows a socket, a loop or a clock, and nothing imports the rest of
``resilient_ws``. ``handshake`` opens the connection, and ``engine`` serves it from then
on: it makes the bytes to send, and its ``receiver`` parses what is received.

- To receive: ``receiver`` stores bytes that must wait in ``unparsed``, has ``walk``
  take whole messages and the ``hot_loops`` what else is frequent, and checks all other
  frames with ``header``. ``assembler`` builds a message from frames in parts;
  ``payload`` collects plain parts, and ``inflate`` compressed ones. ``violation`` lists
  the rules that a peer may break, and ``steps`` limits the work of one call.
- To send: ``frames`` has the parts of a frame, ``walk`` the functions that make those
  of messages, and ``deflate`` agrees on compression and compresses.
- ``walk`` is the seam to ``compiled``, which is written in C, or to its twin ``pure``;
  ``zlibs`` chooses the zlib.
- ``close`` has the close codes and the record of a close, ``message`` the types of a
  message, and ``text`` makes a peer's text safe to show.
"""
