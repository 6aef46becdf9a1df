"""The stored arrays: the order of their fields, and the numbers that stand for words.

Two languages read and write these arrays: codecs in Python, and scripts in Lua, whose constants
are made from this module (`store.redis.prelude`). Deployed versions read what other versions have
stored, so nothing here changes within a format. A new field or state goes to the end, and `FORMAT`
goes up.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rediq_trio.spec.lifecycle import State

FORMAT = 1
"""The format that this version writes."""
FORMAT_STEP = 100
"""A record of format N begins with its state's code plus `FORMAT_STEP` * (N - 1)."""

CODE_OF: Mapping[State, int] = MappingProxyType(
    {state: n for n, state in enumerate(State, start=1)}
)
"""The number of each state; 0 stands for no task."""

RECORD_FIELDS = (
    "state", "priority", "max_retry", "max_crashes", "retention_ms",
    "created_ms", "run_ms", "expires_ms", "seq", "envelope",
    "attempt", "deliveries", "crashes", "snoozes", "nonce",
    "worker", "cancel", "marks", "started_ms", "finished_ms", "error",
)  # fmt: skip
"""The fields of a task's record. The record of a new task, to which nothing has happened yet, ends
with its envelope."""
RELATION_FIELDS = (
    "unique", "until", "owns_unique_key", "limit_key", "group", "waits", "run_on_dependency_failure",
)  # fmt: skip
"""The fields of an array that the record of a task with relations has as its last field."""
MARKS: Mapping[str, int] = MappingProxyType({"has_waiters": 1, "has_dependents": 2, "has_steps": 4})
"""The bits of `marks`."""

NEW_TASK_FIELDS = (
    "priority", "max_retry", "max_crashes", "retention_ms",
    "delay_ms", "run_at_ms", "expires_in_ms", "expires_at_ms", "relations",
)  # fmt: skip
"""The fields of a new task that scripts read; `relations` only if it has any. After them comes the
`parent`, if it has one, which no script reads; of a task that may exist, '' and then the `parent`."""
NEW_RELATION_FIELDS = (
    "queue", "unique", "until", "ttl_ms", "replace", "limit_key", "group",
    "run_on_dependency_failure", "needs", "needs_later", "dependents",
)  # fmt: skip
"""The fields of the relations of a new task."""

UNSET_RETENTION_MS = 3_600_000
"""The retention of a task whose producer left it unset: that of the handler that completes it
applies. A retention of an hour that was set is one millisecond longer."""

ATTEMPT_FIELDS = (
    "number", "delivery", "worker", "started_ms", "ended_ms", "transition", "detail", "kind",
)  # fmt: skip
"""The fields of the record of an attempt; `kind` only if the attempt failed. A task has an array of
them, the oldest first. What a newer version adds comes after them. A `detail` that is the same as that
of the attempt before is stored as `true`."""
KIND_FIELDS = ("count", "first_ms", "sample", "ids", "hours")
"""The fields of what is stored of a kind of failure; `hours` is missing where only an older version has
counted. What a newer version adds comes after them."""

MAIL_FIELDS = ("seq", "queue", "kind", "id", "ref", "ended_as", "result")
"""The fields of a message to another queue."""
MAIL_TASK_FIELDS = (*MAIL_FIELDS[:4], "envelope", "options")
"""The fields of a message that brings a task."""
ENDING_FIELDS = ("order", "id", "ended_as", "result", "dependent")
"""The fields of an ended task whose dependents are still to be notified; the last field only if it
is about a single dependent."""
NIL = b"\xc0"
"""The result of a handler that returned None. Dependents do not get it as an input."""
ASKS_AGAIN = b"\x01"
"""The `result` of a `SUBSCRIBE` message whose task has waited for long, and asks again."""
NOT_LOOKED_AT = 255
"""The `ended_as` of an ending whose task is of a newer format, so that its state is unknown."""

SCHEDULE_FIELDS: Mapping[str, type] = MappingProxyType(
    {
        "when": bytes, "template": bytes, "template_options": bytes, "owner": bytes, "keep": int,
        "overlap_skip": int, "paused": int, "last_ms": int, "last_id": bytes, "revision": int,
    }
)  # fmt: skip
"""The fields of a schedule, with their types."""
LIMIT_FIELDS = ("concurrency", "count", "period_ms", "burst", "interval_us")
"""The fields of a limit."""
GROUP_RULE_FIELDS = ("max_size", "grace_ms", "max_delay_ms")
"""The fields of a group's rule."""
BATCH_VERSION = 2
"""The first field of a batch's envelope, before the group and the members; other envelopes have 1."""
MEMBER_FIELDS = ("id", "envelope", "priority", "max_retry", "max_crashes", "retention_ms")
"""The fields of each member of a batch."""

ENTRY_FIELDS = (
    "now_ms", "transition", "id", "source", "target", "deliveries", "attempt", "crashes", "snoozes",
    "max_retry", "max_crashes", "priority", "seq", "run_ms", "expires_ms", "cancel", "till_ms",
    "nonce", "worker", "reason", "relations",
)  # fmt: skip
"""The fields of a task's entry in the history; `relations` only if it has any."""
ENTRY_RELATION_FIELDS = (
    "unique", "owns_unique_key", "limit_key", "group", "waits", "run_on_dependency_failure", "needs",
)  # fmt: skip
"""The fields of the relations in an entry."""
QUEUE_ENTRY_FIELDS = ("now_ms", "transition", "key", "before", "after")
"""The fields of an entry of the queue itself."""

ENCRYPTED_ERROR = "rediq:encrypted:"
"""How the `error` of a record begins whose text is encrypted; see `wire.encrypted_error`."""

# Why a task is dead if no handler raised an error: texts for the `error` of its record.

EXPIRED = "expired"
WORKER_DIED = "its worker died under it %d times"
NEED_FAILED = "the task %s that it needs %s"
"""With the reference of that task, and a text of `ENDED_AS`."""
UNREADABLE_RECORD = "its record cannot be decoded"
PAYLOAD_MISSING = "its payload is missing"

NOT_ENQUEUED = "enqueue_after: the id exists, or its unique key is taken: %s"
"""The `error` of a completed task whose children were not all enqueued, with their ids."""
NOT_ENQUEUED_NAMED = 10
"""Maximum number of ids that it names."""


def with_refused(note: str, ref: str) -> str:
    """Return what is noted with a completed task, with one more child that was not enqueued."""
    if not note:
        return NOT_ENQUEUED % ref
    # The text before the ids has one comma, too.
    if note.count(", ") >= NOT_ENQUEUED_NAMED or f" {ref}," in f"{note},":
        return note
    return f"{note}, {ref}"


ENDED_AS: Mapping[State | None, str] = MappingProxyType(
    {
        None: "is gone",
        State.COMPLETED: "is completed",
        State.DEAD: "is dead",
        State.CANCELLED: "was cancelled",
    }
)
"""How a task that another one needs has ended; None for one that was deleted or never existed."""
