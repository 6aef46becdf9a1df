"""The terminal screen of `rediq dash`: lines made of what is observed, pages, keys, and Textual."""
