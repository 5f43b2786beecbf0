"""What belongs to one event loop, and is shared by the sessions that run on it."""
