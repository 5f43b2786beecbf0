"""Pure decisions: told what happened and what time it is, they say what to do.

Nothing here waits, reads a clock or touches a socket. Policies are frozen. Objects that
a session makes for itself hold what changes: ``Outage``, ``Round``, ``Judge``,
``Watch``, ``Pings``.
"""
