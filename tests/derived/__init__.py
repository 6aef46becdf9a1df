"""What follows from the specification: derived state, and the cost of a change."""
