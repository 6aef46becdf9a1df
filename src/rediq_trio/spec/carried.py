"""Contents of tasks that a queue stores and never reads: members of batches, results, and attempts."""

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


@attrs.frozen
class StoredAttempt:
    """An attempt of a task that did not complete it."""

    number: int
    """Which attempt it was, counted from 1; one that was not charged has the number of the next."""
    delivery: int
    """Which delivery of the task it was, counted from 1."""
    worker: str
    started_ms: int
    ended_ms: int
    transition: str
    """What ended it: the value of a `Transition`, of a newer version perhaps an unknown one."""
    detail: bytes = b""
    """What its worker said of it, packed; empty if the worker died."""
    kind: str = ""
    """The kind of its failure, see `spec.history.kinds`; empty if it did not fail, or if an older
    worker made it."""


Kept = tuple[str, bytes]
"""The name and the packed result of a step or a dependency. An empty result stands for one that
cannot be decoded."""
