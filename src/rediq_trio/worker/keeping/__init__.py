"""The keeper: what any worker does for a queue besides running its tasks."""
