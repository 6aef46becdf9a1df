"""A fleet on a real Redis, in real time."""
