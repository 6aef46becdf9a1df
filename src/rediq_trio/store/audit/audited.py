"""Each change that a person makes through a tool is written as one entry, after its call.

A call that fails or is interrupted has an entry too, because it may have changed something. What a
task carries never gets into an entry: the audit outlives the tasks.
"""

from __future__ import annotations

import datetime as dt
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar, cast

import attrs
import trio

from rediq_trio._errors import NotAudited, PartlyEnqueued, RediqError, Unconfirmed, quote
from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.audit.acting import ActingStore, acting_in
from rediq_trio.store.port import Store
from rediq_trio.values.backoff import Exponential, Fixed, Linear
from rediq_trio.values.chance import entropy
from rediq_trio.values.task import Task, Unique
from rediq_trio.values.words import duration
from rediq_trio.wire.envelope import pack_value

P = ParamSpec("P")
A = TypeVar("A")

TEXT_MAX, DETAIL_MAX = 200, 500
"""Maximum characters of a part of a selection, and of what became of a change."""
NONCE_BYTES = 12
WRITE_WITHIN = 2.0
"""Seconds for the entry of a change that failed or was interrupted."""
_NOT_KEPT = frozenset({"payload", "metadata", "seen", "progress"})
"""Arguments whose values are not kept, or say nothing."""
_AUDITING: ContextVar[bool] = ContextVar("auditing", default=False)
"""Whether this task is inside a change that is recorded: what it consists of has no entries."""


@attrs.define
class Deed:
    """What is known of a change when it is over. Owned by whoever makes it."""

    count: int | None = None
    """How many were changed; None where there is nothing to count."""
    detail: str = ""
    """What became of it, in a few words."""
    answer: Any = None


@asynccontextmanager
async def auditing(store: Store, what: str, selection: Mapping[str, str]) -> AsyncGenerator[Deed]:
    """Write one entry about the change that the block makes, if a person makes it.

    Raises `NotAudited` if the entry could not be written after the change.
    """
    deed, acting = Deed(), acting_in(store)
    if acting is None or _AUDITING.get():
        yield deed
        return
    entry = _Entry(acting, what, selection, entropy(NONCE_BYTES))
    token = _AUDITING.set(True)
    try:
        yield deed
    except BaseException as error:
        await entry.write_quickly(_outcome_of(error), attrs.evolve(deed, **_facts_of(error)))
        raise
    finally:
        _AUDITING.reset(token)
    try:
        await entry.write("done", deed)
    except trio.Cancelled:
        await entry.write_quickly("done", deed)
        raise
    except Unconfirmed as unconfirmed:
        unconfirmed.answer = deed.answer
        raise
    except RediqError as error:
        raise NotAudited(what, error, answer=deed.answer) from error


@attrs.frozen
class _Entry:
    _acting: ActingStore
    _what: str
    _selection: Mapping[str, str]
    _nonce: bytes

    async def write(self, outcome: str, deed: Deed) -> None:
        actor = self._acting.actor
        fields = {
            "who": actor.who, "tool": actor.tool, "where": actor.where, "what": self._what,
            "selection": dict(self._selection), "count": deed.count, "outcome": outcome,
            "detail": _text(deed.detail, DETAIL_MAX),
        }  # fmt: skip
        data = pack_value(fields, what="entry of the audit")
        store = self._acting.patient_store
        await store.log(Logbook.AUDIT, nonce=self._nonce, data=data)

    async def write_quickly(self, outcome: str, deed: Deed) -> None:
        with trio.move_on_after(WRITE_WITHIN, shield=True):
            try:
                await self.write(outcome, deed)
            except RediqError:
                pass  # the caller learns of the first error


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, Unconfirmed):
        return "done"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _facts_of(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, Exception):
        return {}
    facts: dict[str, Any] = {"detail": f"{type(error).__name__}: {error}"}
    if isinstance(error, PartlyEnqueued):
        facts["count"] = len(error.handles) - len(error.refused)
    return facts


def audited(
    noun: str = "", attribute: str = "", *, what: str = ""
) -> Callable[[Callable[P, Coroutine[Any, Any, A]]], Callable[P, Coroutine[Any, Any, A]]]:
    """Return a decorator of methods that change something: each call of a person has one entry.

    `noun` and `attribute` say what the object of the method stands for, `what` is the name of the
    operation, by default that of the method.
    """

    def decorate(
        method: Callable[P, Coroutine[Any, Any, A]],
    ) -> Callable[P, Coroutine[Any, Any, A]]:
        signature = inspect.signature(method)
        name = what or method.__qualname__

        @wraps(method)
        async def call(*args: P.args, **kwargs: P.kwargs) -> A:
            owner = cast("Any", args[0])
            if acting_in(owner._store) is None:
                return await method(*args, **kwargs)
            selection = {noun: str(attrgetter(attribute)(owner))} if noun else {}
            selection |= _given(signature, args, kwargs)
            async with auditing(owner._store, name, selection) as deed:
                answer = deed.answer = await method(*args, **kwargs)
                deed.count, deed.detail = _count_of(answer), _detail_of(answer)
            return answer

        return call

    return decorate


def _given(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, str]:
    """Return the arguments of a call that are not the default, as texts."""
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return {}  # the method raises it
    found: dict[str, str] = {}
    for name, value in list(bound.items())[1:]:
        parameter = signature.parameters[name]
        named: Mapping[str, Any] = {name: value}
        if parameter.kind is parameter.VAR_KEYWORD:
            named = value
        for key, one in named.items():
            if one is not parameter.default:
                found[key] = "(not kept)" if key in _NOT_KEPT else _said(one)
    return found


def _said(value: object) -> str:
    match value:
        case str():
            return _text(value)
        case Task():
            return _text(f"{value.type} in {value.queue}")
        case _ if (times := _times_of(value)) is not None:
            return times
        case dt.datetime():
            return value.isoformat()
        case dt.timedelta():
            return duration(value.total_seconds())
        case Unique():
            return _text(_with_fields("one at a time", value))
        case Exponential() | Linear() | Fixed():
            return _text(_with_fields(type(value).__name__.lower(), value))
        case list() | tuple():
            return f"{len(cast('Sequence[Any]', value)):,} items"
        case _ if hasattr(value, "__next__"):
            return "an iterator"
        case _:
            return _text(quote(value))


def _times_of(value: object) -> str | None:
    """Return the words for the times of a schedule; None for any other value."""
    if "rediq_trio.values.schedule" not in sys.modules:
        return None  # so it is none, and what only looks does not load them
    from rediq_trio.values.schedule import Cron, Every, describe_schedule

    if not isinstance(value, Every | Cron):
        return None
    return _text(_with_fields(describe_schedule(value), value, "seconds", "line", "timezone"))


def _with_fields(said: str, value: attrs.AttrsInstance, *known: str) -> str:
    """Return what is said of a value, with its fields that are not the default and not said yet."""
    fields = [
        (field.name, getattr(value, field.name), field.default)
        for field in attrs.fields(type(value))
        if field.name not in known
    ]
    more = [f"{name.replace('_', ' ')} {one}" for name, one, default in fields if one != default]
    return ", ".join([said, *more])


def _text(text: str, most: int = TEXT_MAX) -> str:
    """Return a text of at most `most` characters that can be packed."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.encode("utf-8", "replace").decode()


_AFTER_A_CANCEL = (State.CANCELLED, State.ACTIVE)


def _count_of(answer: object) -> int | None:
    match answer:
        case None | str():
            return None
        case int():
            return int(answer)
        case list() | tuple():
            return len(cast("Sequence[Any]", answer))
        case Mapping():
            return sum(
                each in _AFTER_A_CANCEL for each in cast("Mapping[Any, Any]", answer).values()
            )
        case _:
            return 1


def _detail_of(answer: object) -> str:
    if isinstance(answer, State):
        return answer.value
    if answer is False:
        return "nothing was changed"
    ident = getattr(answer, "id", "")
    return ident if isinstance(ident, str) else ""
