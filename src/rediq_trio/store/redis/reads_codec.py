"""Reads the answers of the scripts that read single tasks: `description`, `situation` and `states`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.spec.groups import Group
from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import NO_LIMIT, Lock
from rediq_trio.store.reads.description import Description
from rediq_trio.store.reads.situation import LimitUse, Situation, Standing
from rediq_trio.store.reads.states import StatesRead
from rediq_trio.store.redis.codec import STATES, read_limit, read_rule, read_task_whole
from rediq_trio.store.redis.record_format import newer_format, newer_record, refuse_newer


def read_description(name: str, now: int, reply: Sequence[Any]) -> Description | None:
    """Read what `description_of` of `include/description.lua` returned about the task with this id.

    None for a record that is missing or cannot be decoded. Raises `NewerTask`.
    """
    stored, holder, ends, dependent_count, dependents, needs = reply
    record = read_task_whole(name.rpartition("/")[2], stored)
    if record is None:
        refuse_newer(name, stored[0])
        return None
    return Description(
        now_ms=now,
        record=record,
        lock=Lock(unpack_id(holder), round(float(ends or 0))) if holder else None,
        dependent_count=dependent_count,
        dependents=tuple(map(unpack_ref, dependents)),
        needs=tuple(map(_read_need, needs[::2], needs[1::2])),
    )


def _read_need(ref: bytes, code: int) -> tuple[str, State | None]:
    return unpack_ref(ref), _read_state(code)


def _read_state(code: int) -> State | None:
    return STATES[code - 1] if 0 < code <= len(STATES) else None


def read_states(reply: Sequence[int]) -> StatesRead:
    """Read an answer of `states.lua`."""
    now, *codes = reply
    return StatesRead(now, tuple(map(_read_state, codes)))


def read_situation(name: str, reply: Sequence[Any]) -> Situation | None:
    """Read an answer of `situation.lua` about the task with this id.

    None for a record that is missing or cannot be decoded.
    """
    now, code, described, paused, since, note, fair, lanes, unkeyed, keyed, *rest = reply
    whole, lane, better, ahead, equal, newer_head, rule, members, due = rest
    newer = newer_record(described[0][0])
    description = None if newer else read_description(name, now, described)
    state = _read_state(code)
    if state is None or (description is None and not newer):
        return None
    found = Situation(
        now_ms=now,
        state=state,
        newer=newer,
        description=description,
        paused=bool(paused),
        paused_since_ms=since,
        pause_note=note,
        fair=bool(fair),
        lanes=lanes,
        unkeyed=unkeyed,
        keyed=keyed,
        whole=_read_use(whole),
        lane=_read_use(lane),
        standing=Standing(better, ahead, equal, newer_format(newer_head)),
    )
    if description is None or state is not State.GROUPED:
        return found
    group = Group(
        description.record.group, read_rule(rule) if rule else None, members, round(float(due))
    )
    return attrs.evolve(found, group=group)


def _read_use(reply: Sequence[Any]) -> LimitUse:
    raw, running, arrival, oldest = reply
    limit = read_limit(raw) if raw else NO_LIMIT
    return LimitUse(limit, running, round(float(arrival)), oldest)
