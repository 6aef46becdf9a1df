"""Encryption of payloads: a store that wraps any other store."""
