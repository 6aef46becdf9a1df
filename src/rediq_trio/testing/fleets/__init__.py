"""Whole fleets in simulated time: a plan is run, and oracles watch that every promise is kept."""
