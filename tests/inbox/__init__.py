"""What was received and not yet taken."""
