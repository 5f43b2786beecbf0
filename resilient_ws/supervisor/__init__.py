"""What runs a session: one loop, and the parts that it moves.

``loop`` runs one connection after the other and decides what follows each. Its
``commands`` are what users ask of a running session; ``lifecycle`` is the state.

``current_connection`` is one connection, from the dial to the hang-up: ``dialler``
connects (over a wire that ``wiring`` builds), ``restorer`` runs ``on_open``, and
``milestones`` does what falls due while the connection is open.

``journal`` reports what happens, with ``counters`` for the statistics. Each event goes
to ``event_log``, which writes it to the ``log``, and to ``dispatcher``, which runs the
user's ``callbacks`` from an ``event_queue``.
"""
