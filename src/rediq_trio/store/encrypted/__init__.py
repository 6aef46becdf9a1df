"""Encrypted payloads: a store in front of any other."""
