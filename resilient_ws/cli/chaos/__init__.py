"""``resilient-ws chaos``: a proxy that breaks connections at a key or by a script."""
