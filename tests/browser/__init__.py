"""The web page as people see it: a real browser, real processes, a real server."""
