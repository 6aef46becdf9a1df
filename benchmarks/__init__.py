"""Measurements of the library. They report; they never fail because something is slow."""
