"""The view of one task."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.observe.single import look_at_task


async def test_a_view_of_a_task_is_frozen_and_knows_when_it_was_read() -> None:
    async with rediq.connect(MemoryStore()) as client:
        handle = await client.enqueue(Task("a", {"n": 1}, delay=60))
        before = dt.datetime.now(dt.UTC)
        view = await look_at_task(handle)
        assert before <= view.at <= dt.datetime.now(dt.UTC)
        assert view.info == await handle.info()
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            view.at = before  # type: ignore[misc]
        await handle.delete()
        with pytest.raises(rediq.TaskNotFound):
            await look_at_task(handle)
