"""Parts of the page of a task: its life, its tracebacks and its values, made of what was read."""
