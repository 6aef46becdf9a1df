"""Bytes: how envelopes, payloads and results are packed."""
