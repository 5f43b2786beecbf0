"""Servers of other hands, each in a process of its own."""
