"""Contents of tasks that a queue stores and never reads: members of batches, and results."""

from __future__ import annotations

import attrs


@attrs.frozen
class BatchMember:
    """One task of a batch."""

    id: str
    envelope: bytes
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int


@attrs.frozen
class BatchEnvelope:
    """The envelope of a batch: the group's name and at least one member."""

    group: str
    members: tuple[BatchMember, ...]


Kept = tuple[str, bytes]
"""The name and the packed result of a step or a dependency. An empty result stands for one that
cannot be decoded."""
