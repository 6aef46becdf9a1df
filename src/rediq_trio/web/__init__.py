"""The door for probes and metrics: HTTP beside a worker."""
