"""What both sides of benchmarks/clients.py call things."""

EMITTED = "bench/emitted"
"""Among a delta's counts: microseconds of the machine's monotonic clock when the tally emitted it."""
