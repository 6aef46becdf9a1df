"""The command that serves the web page."""
