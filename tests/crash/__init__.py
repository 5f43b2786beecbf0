"""A sender that is killed again and again, and what became of all it sent."""
