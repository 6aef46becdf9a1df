"""Queues, as their operator sees them."""
