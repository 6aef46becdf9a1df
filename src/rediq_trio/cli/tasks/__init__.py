"""What `rediq task` does to one task, and shows of it."""
