"""The same faults, on real wires, for this library and its peers.

A *situation* (``rows/``) sets up namespaces and a server of another hand, starts one
or more *clients* (``clients/``, a child process for each library), does the harm, and
computes its verdict from what the client's user saw and the server logged. All stamps
are of CLOCK_MONOTONIC, which the processes of a machine share.

To add a row, write one coroutine with ``@situation(name, promise)`` in a module of
``rows/``: start a client (``stage.receiver()``, ``stage.talker()`` or
``stage.client()``), note ``time.monotonic()``, do the harm (``stage.network``,
``stage.server``), wait for what its user sees
(``client.after("dropped", since, PATIENCE)``), and return an ``Outcome``.
``socket_destroyed`` in ``rows/dead.py`` is the shortest.
"""
