"""What it costs to look at queues, and to change many tasks: see `python -m benchmarks.operate --help`."""
