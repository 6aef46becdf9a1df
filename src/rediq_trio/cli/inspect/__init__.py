"""The commands that look into queues: their invariants, histories, groups and limits."""
