"""The check of a queue in Redis: reading views of its parts, and repairing them."""
