"""The loops in Python and in C, given the same: they must return the same."""
