"""What handlers are written with: `App`, `current_task` and the exceptions they raise."""
