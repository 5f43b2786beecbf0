"""The one loop of a session, and its parts."""
