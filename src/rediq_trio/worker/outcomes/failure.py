"""What becomes of an attempt whose handler raised: its own decision first, then its rules."""

from __future__ import annotations

from typing import TypeVar

from rediq_trio._errors import PayloadTooLarge, flatten_group, group_members
from rediq_trio.handlers.exceptions import Reject, Retry, Snooze
from rediq_trio.handlers.retry_rules import BadRule, RetryRules
from rediq_trio.spec.messages import Snoozed
from rediq_trio.wire.envelope import Envelope
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, failed
from rediq_trio.worker.outcomes.error_text import (
    MAX_ERROR_TEXT,
    MEMBERS_SHOWN,
    PART_TEXT,
    cut,
    error_text,
    full_text,
    message_text,
    with_suffix,
)

E = TypeVar("E", bound=BaseException)


def failure_outcome(
    held: HeldLease, envelope: Envelope, rules: RetryRules, error: BaseException, text: str = ""
) -> AttemptOutcome:
    """Return the outcome for what a handler raised; `text` replaces the error's own text.

    Raises only `KeyboardInterrupt`, whatever the exception's methods do.
    """
    try:
        return _judge(held, envelope, rules, error, text)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        # A subclass with a property that raises, for one.
        why = f"to judge it raised {type(broken).__name__}"
        text = with_suffix(text or error_text(error), why)
        return failed(held, text, envelope.backoff.delay(held.lease.attempt))


def decides(error: BaseException) -> bool:
    """Return whether a handler raised what chooses the end of its attempt."""
    return any(isinstance(part, Reject | Retry | Snooze) for part in flatten_group(error))


def snoozed(held: HeldLease, delay: float) -> AttemptOutcome:
    """Return the outcome of an attempt that is not charged, and starts again after a delay."""
    return AttemptOutcome(held, Snoozed(held.fence, round(delay * 1000)))


def _judge(
    held: HeldLease, envelope: Envelope, rules: RetryRules, error: BaseException, text: str
) -> AttemptOutcome:
    while len(parts := group_members(error)) == 1:
        error = parts[0]
    members = flatten_group(error)
    backoff = envelope.backoff.delay(held.lease.attempt)
    # Anywhere in a group: Trio puts whatever leaves a nursery into one.
    if (reject := _first(members, Reject)) is not None:
        text = full_text(reject, message_text(reject) or "rejected")
        return failed(held, cut(text + _beside(reject, members), MAX_ERROR_TEXT), 0.0, final=True)
    if _first(members, PayloadTooLarge) is not None:
        # Another attempt would do the work again, to hand over as much.
        return failed(held, full_text(error), 0.0, final=True)
    if (retry := _first(members, Retry)) is not None:
        return failed(held, full_text(error), backoff if retry.after is None else retry.after)
    if (snooze := _first(members, Snooze)) is not None:
        return snoozed(held, snooze.seconds)
    text = full_text(error, text or None)
    try:
        delay = rules.delay(error, held.lease.attempt, backoff)
    except BadRule as broken:
        why = f"its retry function failed: {error_text(broken.__cause__ or broken)}"
        return failed(held, with_suffix(text, why), backoff)
    return failed(held, text, 0.0, final=True) if delay is None else failed(held, text, delay)


def _beside(decision: BaseException, members: list[BaseException]) -> str:
    others = [m for m in members if m is not decision and not group_members(m)]
    shown = "; ".join(error_text(other, PART_TEXT) for other in others[:MEMBERS_SHOWN])
    return f" (beside {shown})" if shown else ""


def _first(members: list[BaseException], kind: type[E]) -> E | None:
    return next((member for member in members if isinstance(member, kind)), None)
