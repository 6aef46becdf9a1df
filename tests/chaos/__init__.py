"""The fault bench: real producers, real workers and a real Redis, under a seeded schedule of faults.

Whoever takes part notes what it sees in a file of its own (`observe`); a judge reads the
files afterwards and says whether every promise was kept. `python -m tests.chaos`.
"""
