"""The test kit: simulated fleets, and what makes them."""
