"""Feeds against a real server and real faults, at full size, into one page."""
