"""Tasks in a Redis: one Lua script per step of the queue."""
