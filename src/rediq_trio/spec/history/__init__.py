"""The recorded transitions of a queue, and their replay through the specification."""
