"""Health probes and metrics of a worker, over HTTP."""
