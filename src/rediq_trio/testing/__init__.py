"""Tools for programs that test what they build on the queue."""
