"""What handlers are written with."""
