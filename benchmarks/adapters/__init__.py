"""Libraries that people use, alone and on our session, through the same faults.

Each module beside ``contest``, ``faults``, ``program`` and ``page`` is one library: its
``CONTEST``, its server and its program. See ``contest`` for what it must offer.
"""
