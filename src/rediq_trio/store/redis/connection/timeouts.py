"""How long the connections to Redis wait, in seconds."""

CONNECT_TIMEOUT = 5.0
"""Seconds that one attempt to connect may take."""
RESPONSE_TIMEOUT = 10.0
"""Seconds that a round trip may take before its connection is closed; at most a worker's lease."""
UNSENT_WAIT_MAX = 5.0
"""Seconds that a command may wait, unsent, for a connection or for a slot of the Cluster."""
