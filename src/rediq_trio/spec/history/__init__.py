"""The history of a queue: its recorded transitions, and their replay through the specification."""
