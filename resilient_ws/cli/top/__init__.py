"""``resilient-ws top``: what the monitor page shows, in the terminal."""
