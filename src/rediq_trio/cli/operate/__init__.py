"""The commands that show and change what is in Redis: queues, tasks, workers, schedules."""
