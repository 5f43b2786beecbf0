"""Sessions under random faults for minutes or hours, and every message counted."""
