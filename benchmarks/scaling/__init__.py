"""What happens when there is much of something: tasks, dead letters, queues, sleepers, bytes.

One part each. `python -m benchmarks.scaling`.
"""
