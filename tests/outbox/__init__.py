"""What is sent is never lost in silence."""
