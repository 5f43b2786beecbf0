"""The same faults, on real wires, for this library and its peers.

A *situation* (``rows/``) sets up namespaces and a server of another hand, starts one
or more *clients* (``clients/``, a child process for each library), does the harm, and
computes its verdict from what the client's user saw and the server logged. All stamps
are of CLOCK_MONOTONIC, which the processes of a machine share.

A row is one coroutine: see ``rows/dead.py`` for the shortest.
"""
