"""Chains: logs caught up with, and followed live, beside others."""
