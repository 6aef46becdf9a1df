"""The version of a task: a text of one part for each thing that can be changed of it.

Two readers that see equal versions see the same task, and where versions differ, their parts say
what was changed. Payload, metadata and backoff are hashed, which keeps a version short.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from rediq_trio.spec.records import Record
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.values.backoff import encode_backoff
from rediq_trio.values.stored_metadata import StoredMetadata
from rediq_trio.values.task import TaskChanges
from rediq_trio.values.unset import UNSET_MAX_RETRY, UNSET_RETENTION
from rediq_trio.wire.envelope import Envelope
from rediq_trio.wire.packing import pack

PARTS = (*TaskChanges.__annotations__, "deadline")
"""What the parts of a version stand for, in their order."""


def version_of(record: Record, envelope: Envelope) -> str:
    """Return the version of a task."""
    numbers = record.priority, record.max_retry, record.max_crashes
    backoff = _digest(pack(encode_backoff(envelope.backoff)))
    times = record.expires_ms, record.retention_ms
    metadata = _digest(pack(dict(envelope.metadata)))
    parts = (
        _digest(envelope.payload), *numbers, envelope.timeout, backoff, *times, metadata,
        envelope.deadline_ms,
    )  # fmt: skip
    return "/".join(map(str, parts))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()


def changed_parts(before: str, after: str) -> list[str]:
    """Return what differs between two versions of a task, by name."""
    pairs = zip(PARTS, before.split("/"), after.split("/"), strict=True)
    return [name for name, old, new in pairs if old != new]


def options_of(record: Record, envelope: Envelope) -> Mapping[str, Any]:
    """Return the options of a task as its producer gave them to `Task`; those left unset are so."""
    unset = record.max_retry == UNSET_MAX_RETRY and not envelope.max_retry_is_set
    retention = record.retention_ms
    return {
        "priority": record.priority,
        "max_retry": UNSET_MAX_RETRY if unset else record.max_retry,
        "max_crashes": record.max_crashes,
        "timeout": envelope.timeout,
        "backoff": envelope.backoff,
        "retention": UNSET_RETENTION if retention == UNSET_RETENTION_MS else retention / 1000,
        "metadata": StoredMetadata(envelope.metadata),
    }
