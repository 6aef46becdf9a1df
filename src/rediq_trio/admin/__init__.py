"""Queues, as their operator reads and changes them."""
