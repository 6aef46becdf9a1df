"""The terminal screen: its lines by themselves, and the real command in a terminal of tmux."""
