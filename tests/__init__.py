"""Tests, and the real servers and checks they share."""
