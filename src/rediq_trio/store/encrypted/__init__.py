"""Encrypted payloads: a store that wraps any other."""
