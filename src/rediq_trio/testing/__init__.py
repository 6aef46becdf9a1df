"""Tools to test programs that use the queue."""
