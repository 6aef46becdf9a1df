"""Plans of what befalls a fleet."""
