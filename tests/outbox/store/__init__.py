"""The store of an outbox: its files, its tables, its rows, and its thread."""
