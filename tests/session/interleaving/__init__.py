"""Drawn plans of what a server and a user do, played in virtual time, and judged."""
