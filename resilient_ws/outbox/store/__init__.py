"""Where the messages of an outbox wait: in memory, or in a file of SQLite."""
