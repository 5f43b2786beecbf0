"""What belongs to one event loop."""
