"""What the pages of the fleet are made of: readings, rows, facts and words of queues and workers."""
