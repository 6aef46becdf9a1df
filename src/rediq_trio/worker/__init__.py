"""Level 2: where tasks run. One file per actor; they meet in channels, never in imports."""
