"""Values that are only read: what a store, a worker or a task tells."""
