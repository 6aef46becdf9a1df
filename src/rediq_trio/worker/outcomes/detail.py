"""What is kept of an attempt that did not complete its task: its error, as text, with the traceback.

The user's `redact` sees each error before anything of it is kept, the text of the task's `error` too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from rediq_trio._errors import group_members
from rediq_trio.spec.messages import Failed, Released, Snoozed
from rediq_trio.tasks.attempts import pack_detail
from rediq_trio.tasks.failure_kinds import FailureSample, pack_sample
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, Reason, released
from rediq_trio.worker.outcomes.error_text import MAX_ERROR_TEXT, cut
from rediq_trio.worker.outcomes.fingerprint import fingerprint, place_of, shortened
from rediq_trio.worker.outcomes.log import type_of
from rediq_trio.worker.outcomes.traceback_text import MAX_TRACEBACK, bytes_of, traceback_text

log = logging.getLogger("rediq_trio")

MESSAGE_BYTES = 2000
"""Maximum bytes of a message that are kept with an attempt."""
TEXT_BYTES = MAX_TRACEBACK - 192
"""Maximum bytes of type, message and traceback together: ten attempts take 80 KB at most."""
STOPPED = "its worker stopped"

Redact = Callable[[ErrorText], ErrorText]


def with_detail(
    outcome: AttemptOutcome,
    error: BaseException | None,
    redact: Redact | None = None,
    package: str = "",
    *,
    type_name: str | None = None,
    timed_out: bool = False,
) -> AttemptOutcome:
    """Return the outcome of an attempt that began, with what is kept of it unless it succeeded.

    `error` is what the handler raised, or what stopped it. `package` is that of the handler, and
    `type_name` the type of the task, read from its envelope if it is None.
    """
    match outcome.written:
        case Failed() as failed:
            type_name = type_name or type_of(outcome.held.lease.envelope)
            told = _described(failed, error, redact, package, type_name, timed_out=timed_out)
            return AttemptOutcome(outcome.held, told)
        case Snoozed() as snoozed:
            detail = pack_detail(ErrorText("", ""))
            return AttemptOutcome(outcome.held, attrs.evolve(snoozed, detail=detail))
        case Released():
            return interrupted(outcome.held)
        case _:
            return outcome


def interrupted(held: HeldLease) -> AttemptOutcome:
    """Return the outcome of an attempt that is given back; one that began leaves a record."""
    if held.scope is None:
        return released(held)
    message = STOPPED if held.reason is Reason.SHUTDOWN else ""
    return AttemptOutcome(held, Released(held.fence, pack_detail(ErrorText("", message))))


def _described(
    written: Failed,
    error: BaseException | None,
    redact: Redact | None,
    package: str,
    type_name: str,
    *,
    timed_out: bool,
) -> Failed:
    while error is not None and len(parts := group_members(error)) == 1:
        error = parts[0]
    name = _type_name(error)
    start = f"{name}: " if name and written.error.startswith(f"{name}: ") else ""
    message = written.error[len(start) :]
    if name and written.error == name:
        start, message = name, ""
    if redact is None:
        text = ErrorText(name, message)
    else:
        text = redacted(ErrorText(name, message, _traceback(error, MAX_TRACEBACK, package)), redact)
        said = f"{text.type}: {text.message}".removesuffix(": ") if start else text.message
        written = attrs.evolve(written, error=cut(said or text.type or "redacted", MAX_ERROR_TEXT))
    text = attrs.evolve(
        text, type=_start(text.type, MESSAGE_BYTES), message=_start(text.message, MESSAGE_BYTES)
    )
    left = TEXT_BYTES - bytes_of(text.type) - bytes_of(text.message)
    shown = _traceback(error, left, package) if redact is None else _end(text.traceback, left)
    text = attrs.evolve(text, traceback=shown)
    # Where a traceback may not be kept, the place of the error may not either.
    place = place_of(error, (package,)) if text.traceback else ""
    return with_kind(
        attrs.evolve(written, detail=pack_detail(text, timed_out=timed_out)),
        FailureSample(type_name, text.type, text.message, place),
    )


def with_kind(written: Failed, sample: FailureSample) -> Failed:
    """Return a failure with its kind, which is that of all that have the same fingerprint."""
    kept = pack_sample(shortened(sample))
    return attrs.evolve(written, kind=fingerprint(sample), sample=kept)


def _type_name(error: BaseException | None) -> str:
    """Return the name of what was raised; empty for what only stopped the handler."""
    return "" if error is None or isinstance(error, trio.Cancelled) else type(error).__name__


def package_of(function: object) -> str:
    """Return the package of a handler, whose frames are its user's; empty if it is not known."""
    module = getattr(function, "__module__", None)
    return module.partition(".")[0] if isinstance(module, str) else ""


def _traceback(error: BaseException | None, most: int, package: str) -> str:
    return "" if error is None else traceback_text(error, most, own=(package,))


def redacted(text: ErrorText, redact: Redact) -> ErrorText:
    """Return what `redact` makes of an error; if it fails, only the name of the type is kept."""
    try:
        found = redact(text)
        if not isinstance(found, ErrorText):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"it returned {type(found).__name__}, not ErrorText")
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        # SystemExit too: what it may not see is not kept.
        log.warning(
            "redact of the app failed with %s: only the type of the error, %s, is kept",
            type(broken).__name__, text.type or "none",
        )  # fmt: skip
        return ErrorText(text.type, "")
    return found


def _start(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _end(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[-most:].decode("utf-8", "ignore")
