"""Schedules: declared by an app, changed at run time."""
