"""The store in Redis: one Lua script for each operation on a queue."""
