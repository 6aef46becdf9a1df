"""The keeper: what any worker does for a queue beside running its tasks."""
