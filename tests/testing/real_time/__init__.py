"""The test kit on a real Redis, in real time."""
