"""The check of a queue in Redis: what it reads and how it repairs."""
