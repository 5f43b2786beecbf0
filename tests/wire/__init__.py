"""Sessions against servers of other hands: real processes, real faults."""
