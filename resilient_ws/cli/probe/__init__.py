"""``resilient-ws probe``: what is wrong with a server, and which settings suit it."""
