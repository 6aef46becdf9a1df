"""Changing when a schedule ticks, and nothing else of it."""

from __future__ import annotations

import attrs

from rediq_trio.schedules.admin import ScheduleInfo, Schedules
from rediq_trio.schedules.declare import declare
from rediq_trio.store.audit.audited import auditing
from rediq_trio.values.schedule import Cron, Every, describe_schedule, pack_recurrence
from rediq_trio.wire.packing import pack


async def change_recurrence(schedules: Schedules, name: str, when: Every | Cron) -> ScheduleInfo:
    """Change when a schedule ticks; its tasks, and whether it is paused, stay as they are.

    A worker of the app that declares it declares it again as it was. The audit has it as
    `Schedules.add`. When cancelled, it may have been changed. Raises `ScheduleNotFound`.
    """
    queue, stored = await schedules._find(name)
    changed = attrs.evolve(
        stored, when=pack(pack_recurrence(when)), overlap_skip=when.overlap == "skip"
    )
    about = {"name": name, "when": describe_schedule(when)}
    async with auditing(schedules._store, "Schedules.add", about):
        await declare(schedules._store, queue, (changed,))
    return await schedules.get(name)
