"""How envelopes, payloads and results are packed into bytes."""
