"""Messages not yet known to be delivered: their order, their bounds, their fate."""
