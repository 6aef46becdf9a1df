"""What surrounds a worker process: the service manager that started it, and a change of its files."""
