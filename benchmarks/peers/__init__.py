"""The same work through rediq-trio and through its peers, in turn: `python -m benchmarks.peers`.

Each peer runs in an environment of its own, through one file in `adapters/` that knows it.
"""
