"""Options that the producer of a task left unset.

`timeout`, `backoff`, `max_retry` and `retention` matter after a claim only, so those of the handler
that runs the task apply if they were left unset. A value that was set must differ from the default
also where the two are equal. So a default number has a class of its own, and the default backoff
is one object.
"""

from __future__ import annotations


class UnsetInt(int):
    """A default that is a whole number."""


class UnsetFloat(float):
    """A default that is a number of seconds."""


UNSET_TIMEOUT = UnsetFloat(30.0)
UNSET_MAX_RETRY = UnsetInt(3)
UNSET_RETENTION = UnsetFloat(3600.0)
