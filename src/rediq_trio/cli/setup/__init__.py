"""The commands for a new or changed machine: is all well, how fast is it, and what completes a command."""
