"""The invariants of a queue, and the repairs of what breaks one."""
