"""How a task that waits is changed: moved in time or to another queue, updated, enqueued again."""
