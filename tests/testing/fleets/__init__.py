"""Whole fleets: the oracles, the planted bugs that they find, and campaigns of the unchanged worker."""
