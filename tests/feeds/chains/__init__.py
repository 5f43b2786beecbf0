"""A chain on a node that dies, goes back and lies, and those who follow it."""
