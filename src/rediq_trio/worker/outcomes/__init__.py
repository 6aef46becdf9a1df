"""How attempts end: what becomes of a handler's error, its text, what the log says."""
