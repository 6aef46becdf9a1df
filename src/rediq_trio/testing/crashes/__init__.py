"""What `crash_everywhere` is made of."""
