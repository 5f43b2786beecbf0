"""The one loop of a session: dial, restore, serve, judge, wait, and again."""
