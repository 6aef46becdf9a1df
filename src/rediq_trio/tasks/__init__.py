"""One task, as its producer sees it."""
