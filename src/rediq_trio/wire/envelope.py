"""The envelope of a task: type, payload, timeout, backoff, metadata, deadline, dependencies.

Options that the producer left unset can be told from the same values that it set, and versions
that know no difference read the default in both. An unset timeout is the integer 30, one that was
set a float; an unset backoff is an empty list. The version of the format is `true`, which equals
1 for them, in the envelope of a task whose `max_retry` was set to its default.

The id of a task's workflow is stored among its metadata, where versions that know of no such id
keep it as they keep any entry. An opened envelope has it apart.

It is msgpack, never pickle. Payloads are checked when they are packed, and again when they
are unpacked, because anyone may have written to Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import PayloadError, PayloadTooLarge, quote
from rediq_trio.spec.stored_format import BATCH_VERSION
from rediq_trio.values.backoff import DEFAULT_BACKOFF, Backoff, decode_backoff, encode_backoff
from rediq_trio.values.bounds import MAX_DELAY, MAX_DEPTH, WORKFLOW_METADATA
from rediq_trio.values.unset import UNSET_TIMEOUT, UnsetFloat
from rediq_trio.wire.packing import UNPACK_ERRORS, EncryptedFound, pack, unpack
from rediq_trio.wire.unpackable import find_unpackable

ENVELOPE_VERSION = 1
"""Version of the envelopes that this library writes. An envelope is an array that starts with its
version; versions up to `BATCH_VERSION` are in use, so the next one is `BATCH_VERSION` + 1."""
VERSIONS_MAX = 100
_UNSET_TIMEOUT_STORED = int(UNSET_TIMEOUT)
ENVELOPE_OVERHEAD_MAX = 5 * 1024 * 1024
"""Maximum bytes of an envelope without its payload: metadata and dependencies at their bounds fit."""
LAST_MS = 253_402_300_799_999
"""The last instant that a datetime in UTC can hold."""
_DEADLINE_RANGE = range(-round(MAX_DELAY * 1000), LAST_MS + 1)


class NewerEnvelope(PayloadError):
    """The envelope has a newer version: a newer worker can read it."""


@attrs.define
class Envelope:
    """An opened envelope; its payload is still packed. Never changed, but not frozen: one is made
    per attempt, and a frozen class takes twice as long to make."""

    type: str
    payload: bytes
    timeout: float
    """Seconds; an `UnsetFloat` if the producer left it unset."""
    backoff: Backoff
    """`DEFAULT_BACKOFF` itself if the producer left it unset."""
    metadata: Mapping[str, str]
    deadline_ms: int = 0
    """An instant; negative, the time from the enqueue; 0 for none."""
    depends_on: tuple[str, ...] = ()
    """Ids of the tasks that it depends on."""
    max_retry_is_set: bool = False
    """Whether the producer set `max_retry` to what is its default."""
    workflow: str = ""
    """The id of the workflow that the task belongs to; '' for none."""

    @property
    def stored_metadata(self) -> dict[str, str]:
        """The metadata as they are stored, with the id of the workflow."""
        return with_workflow(self.metadata, self.workflow)


def with_workflow(metadata: Mapping[str, str], workflow: str) -> dict[str, str]:
    """Return metadata as they are stored, with the id of a workflow."""
    return {**metadata, WORKFLOW_METADATA: workflow} if workflow else dict(metadata)


_NESTED_TYPES = (dict, list, tuple)


def check_depth(value: Any, what: str = "payload") -> None:
    """Raise `PayloadError` for a value nested deeper than 64 levels, or with keys other than text."""
    if type(value) is dict and _is_flat(cast("dict[Any, Any]", value)):
        return
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                item = cast("dict[Any, Any]", item)
                for key in item:
                    # Integers can be chosen to collide in a dict; msgpack refuses to read them as keys.
                    if not isinstance(key, str | bytes):
                        text = f"{what}: key {quote(key)}: must be str or bytes"
                        raise PayloadError(find_unpackable(value, what) or text)
                below += item.values()
            elif isinstance(item, list | tuple):
                below += cast("list[Any]", item)
        if not below:
            return
        level = below
    raise PayloadError(f"{what}: nested deeper than {MAX_DEPTH} levels")


def _is_flat(value: dict[Any, Any]) -> bool:
    # Nearly every payload is flat, and this check costs a fraction of the walk.
    # A loop: `all` over a generator takes twice as long.
    for key, item in value.items():  # noqa: SIM110
        if type(key) is not str or isinstance(item, _NESTED_TYPES):
            return False
    return True


def pack_value(value: Any, *, what: str = "payload", most: int | None = None) -> bytes:
    """Pack plain data; raise `PayloadError` for data that msgpack cannot carry unchanged.

    `what` names the value in errors; `most` bounds the bytes (`PayloadTooLarge`).
    """
    check_depth(value, what)
    try:
        packed = pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # Python's text for a number beyond 64 bits and for an unknown type.
        text = find_unpackable(value, what)
        text = text or f"{what} {quote(value)}: msgpack cannot carry it: {error}"
        raise PayloadError(text) from error
    if most is not None and len(packed) > most:
        raise PayloadTooLarge(f"{what}: {len(packed):,} bytes packed; at most {most:,} are allowed")
    return packed


def unpack_value(packed: bytes, *, what: str = "payload", most: int | None = None) -> Any:
    """Unpack plain data; raise `PayloadError` for data that `pack_value` cannot have packed."""
    if most is not None and len(packed) > most:
        raise PayloadTooLarge(f"{what}: {len(packed):,} bytes packed; at most {most:,} are allowed")
    try:
        value = unpack(packed)
    except EncryptedFound as error:
        raise PayloadError(f"the {what} is {error}") from error
    except UNPACK_ERRORS as error:
        raise PayloadError(f"{what} cannot be decoded: {quote(str(error))}") from error
    check_depth(value, what)
    return value


def pack_envelope(
    kind: str,
    payload: bytes,
    timeout: float,
    backoff: Backoff,
    metadata: Mapping[str, str],
    deadline_ms: int = 0,
    depends_on: Sequence[str] = (),
    *,
    max_retry_is_set: bool = False,
    workflow: str = "",
) -> bytes:
    """Pack an envelope. Default values at its end are left out, which keeps it short."""
    parts: list[Any] = [True if max_retry_is_set else ENVELOPE_VERSION, kind, payload]
    unset = type(timeout) is UnsetFloat
    if workflow:
        metadata = with_workflow(metadata, workflow)
    if backoff is DEFAULT_BACKOFF and unset and not metadata and not deadline_ms and not depends_on:
        return pack(parts)
    rest: list[Any] = [
        _UNSET_TIMEOUT_STORED if unset else float(timeout),
        encode_backoff(backoff), dict(metadata), deadline_ms, list(depends_on)
    ]  # fmt: skip
    while len(rest) > 1 and not rest[-1]:
        rest.pop()
    if unset and len(rest) == 1:
        rest.pop()
    return pack(parts + rest)


_NO_ARRAY = "envelope cannot be decoded: it is not an array of 3 to 8 fields"


def _is_newer(version: Any) -> bool:
    return type(version) is int and BATCH_VERSION < version < VERSIONS_MAX


def open_envelope(packed: bytes) -> Envelope:
    """Return an opened envelope; raise `PayloadError` if it cannot be read, `NewerEnvelope` if newer."""
    try:
        parts: Any = unpack(packed)
    except UNPACK_ERRORS as error:
        raise PayloadError(f"envelope cannot be decoded: {quote(str(error))}") from error
    if not isinstance(parts, list):
        raise PayloadError(_NO_ARRAY)
    fields = cast("list[Any]", parts)
    if len(fields) == 3 and fields[0] == ENVELOPE_VERSION:
        # Nearly every envelope has only these.
        version, kind, payload = fields
        if isinstance(kind, str) and isinstance(payload, bytes):
            return Envelope(
                kind, payload, UNSET_TIMEOUT, DEFAULT_BACKOFF, {}, 0, (), version is True
            )
    if fields and _is_newer(fields[0]):
        raise NewerEnvelope(
            f"envelope has version {quote(fields[0])}; this library reads {ENVELOPE_VERSION}"
        )
    if not 3 <= len(fields) <= 8:
        raise PayloadError(_NO_ARRAY)
    if fields[0] != ENVELOPE_VERSION:
        raise PayloadError(
            f"envelope has version {quote(fields[0])}; this library reads {ENVELOPE_VERSION}"
        )
    fields += [_UNSET_TIMEOUT_STORED, [], {}, 0, []][len(fields) - 3 :]
    version, kind, payload, timeout, backoff, metadata, deadline, needs = fields
    if not (
        isinstance(kind, str)
        and isinstance(payload, bytes)
        and isinstance(timeout, int | float)
        and timeout > 0
        and isinstance(backoff, list)
        and _texts(metadata)
        and type(deadline) is int
        and deadline in _DEADLINE_RANGE
        and isinstance(needs, list)
        and all(isinstance(need, str) for need in cast("list[Any]", needs))
    ):
        raise PayloadError("envelope cannot be decoded: a field has the wrong type")
    policy = decode_backoff(cast("list[Any]", backoff))
    texts = cast("dict[str, str]", metadata)
    depends_on = tuple(cast("list[str]", needs))
    unset = type(timeout) is int and timeout == _UNSET_TIMEOUT_STORED
    seconds = UNSET_TIMEOUT if unset else float(timeout)
    workflow = texts.pop(WORKFLOW_METADATA, "") if texts else ""
    return Envelope(
        kind, payload, seconds, policy, texts, deadline, depends_on, version is True, workflow
    )


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) for item in cast("dict[Any, Any]", value).items() for text in item
    )
