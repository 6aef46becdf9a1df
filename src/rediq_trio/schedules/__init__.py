"""Schedules: declared by an app, or added at run time."""
