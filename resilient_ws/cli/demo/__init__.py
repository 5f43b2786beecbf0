"""``resilient-ws demo``: a session, a server that is treated badly, and a summary."""
