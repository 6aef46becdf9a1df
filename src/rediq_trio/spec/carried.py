"""What a queue keeps with a task and never reads: the members of a batch, and results."""

from __future__ import annotations

import attrs


@attrs.frozen
class BatchMember:
    """One member of a batch, as it was in its group."""

    id: str
    envelope: bytes
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int


@attrs.frozen
class BatchEnvelope:
    """A group's name and its members, at least one."""

    group: str
    members: tuple[BatchMember, ...]


Kept = tuple[str, bytes]
"""A result that is kept with a task, and the name that it has there. No result is empty; one that
is stands for what cannot be decoded."""
