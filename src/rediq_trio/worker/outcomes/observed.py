"""What a worker reports to telemetry of its attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from rediq_trio._errors import PayloadError
from rediq_trio.spec.messages import Completed, Failed, Outcome, Released, Snoozed, Stopped
from rediq_trio.tasks.attempts import error_of
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.values.telemetry.port import (
    AttemptEnd,
    BegunAttempt,
    EndedAttempt,
    ObservedSettlement,
    Telemetry,
)
from rediq_trio.values.telemetry.sending import ServerAddress
from rediq_trio.wire.batch_envelope import batch_of, open_member
from rediq_trio.wire.envelope import open_envelope
from rediq_trio.worker.handler_call import HandlerCall
from rediq_trio.worker.leases import AttemptOutcome, HeldLease
from rediq_trio.worker.outcomes.log import type_of

_Metadata = Mapping[str, str]
_ENDS: Mapping[type[Outcome], AttemptEnd] = {
    Completed: "completed",
    Snoozed: "snoozed",
    Stopped: "cancelled",
    Released: "released",
}
_COMPLETED = EndedAttempt("completed")


@attrs.frozen
class AttemptObserver:
    """Reports the attempts of one worker."""

    telemetry: Telemetry
    worker: str
    server: ServerAddress | None = None

    def begin(self, held: HeldLease, call: HandlerCall) -> None:
        """Report an attempt whose handler is about to be called; its trace is that of the lease."""
        envelope = call.envelope
        self._begin(held, envelope.type, envelope.stored_metadata, call.members_metadata)

    def _begin(
        self,
        held: HeldLease,
        type_name: str,
        metadata: _Metadata,
        members: tuple[_Metadata, ...] | None,
    ) -> None:
        queue, attempt = queue_of(held.queue), held.lease.attempt
        begun = BegunAttempt(
            held.task_id, queue, type_name, attempt, self.worker, metadata, members, self.server
        )
        held.observed = self.telemetry.attempt(begun)
        held.trace_id = held.observed.trace_id or held.trace_id

    def end(self, outcome: AttemptOutcome) -> None:
        """Report the end of an attempt, and its begin if it could not call a handler."""
        held = outcome.held
        if held.observed is None:
            metadata, members = _metadata_of(held)
            self._begin(held, type_of(held.lease.envelope), metadata, members)
        assert held.observed is not None
        held.observed.end(_ended(held, outcome.written))

    def settling(self, queue: str, part: Sequence[tuple[HeldLease, object]]) -> ObservedSettlement:
        """Report that outcomes of one queue are about to be written, in one call."""
        attempts = [held.observed for held, _ in part if held.observed is not None]
        return self.telemetry.settlement(
            queue_of(queue), len(part), attempts, self.worker, self.server
        )


def _ended(held: HeldLease, written: Outcome | None) -> EndedAttempt:
    if isinstance(written, Failed):
        is_last = written.final or held.lease.attempt > held.lease.max_retry
        return EndedAttempt("dead" if is_last else "retry", _error(held, written))
    if isinstance(written, Completed):
        if not written.children:
            return _COMPLETED
        queues = (child.relations.queue or held.queue for child in written.children)
        return EndedAttempt("completed", children=Counter(map(queue_of, queues)))
    return EndedAttempt("lost" if written is None else _ENDS[type(written)])


def _error(held: HeldLease, written: Failed) -> ErrorText:
    """Return the error of a failure; of one by time, its type says which."""
    error = error_of(written.detail) or ErrorText("", written.error)
    if error.type:
        return error
    by_time = "deadline" if written.error.startswith("deadline:") else "timeout"
    return attrs.evolve(error, type=by_time if held.ended_by_time() else "_OTHER")


def _metadata_of(held: HeldLease) -> tuple[_Metadata, tuple[_Metadata, ...] | None]:
    """Return the metadata of a task that may be unreadable, and those of its members."""
    try:
        batch = batch_of(held.lease.envelope)
        if batch is not None:
            return {}, tuple(open_member(member).metadata for member in batch.members)
        packed = held.lease.envelope
        return (open_envelope(packed).stored_metadata if isinstance(packed, bytes) else {}), None
    except PayloadError:
        return {}, None
