"""QueueReader: reads the tasks of a queue, partition by partition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.admin.scanning import Found, QueueScan
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.groups import DEFAULT_RULE, Group
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Place, place_of
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.reads.scan import ALL, SCAN_STEP, Where
from rediq_trio.tasks.for_each import call_each, naming_lost
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.instants import instant_or_none
from rediq_trio.tasks.partitions import partitions_of
from rediq_trio.tasks.task_info import make_task_info, read_cursor
from rediq_trio.values.bounds import check_flag, check_number, queue_of
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.task import TaskInfo

RECORDS_AT_ONCE = 50
"""Records that a page reads in one call, at most: some 0.8 ms of a Redis."""
PLACES_REMEMBERED = 100
"""Ends of pages that a reader remembers."""


GROUPS_AT_ONCE = 250
"""Groups that are read in one call, at most."""


def read_state(state: State | str) -> State:
    """Return the state that is meant; raise `ConfigError` if there is none."""
    try:
        return State(state)
    except ValueError:
        raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None


class QueueReader:
    """Reads one queue's tasks. Shared by `Queue` and its `DeadLetters`."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self._places: dict[tuple[State, str], Place] = {}

    async def partitions(self) -> tuple[str, ...]:
        return partitions_of(self.name, (await self.partition_count()).count)

    async def partition_count(self) -> PartitionCount:
        return (await self.store.partitions()).get(self.name, PartitionCount())

    async def tasks(
        self,
        state: State | str,
        *,
        limit: int = 100,
        after: str | TaskInfo | None = None,
        newest: bool = False,
        where: Where = ALL,
    ) -> list[TaskInfo]:
        """Read tasks in one state, those that are chosen; see `Queue.tasks`."""
        wanted = read_state(state)
        check_number("limit", limit, 1, BATCH, integer=True)
        check_flag("newest", newest)
        partitions = await self.partitions()
        place = None
        if after is not None:
            partition, place = await self.begin(after, wanted, partitions)
            if not newest:
                partitions = partitions[partitions.index(partition) :]
        scan = QueueScan(self.store, wanted, partitions, newest=newest, after=place, where=where)
        found: list[Found] = []
        while len(found) < limit and not scan.over:
            # Newest first, each partition has a part of the page.
            share = max(-(-2 * limit // len(partitions)), 10) if newest else RECORDS_AT_ONCE
            size = min(limit - len(found), share, RECORDS_AT_ONCE)
            # Of tasks that are not chosen, nothing but the test is paid.
            _, more = await scan.step(size if where is ALL else SCAN_STEP)
            found += more
        infos = [make_task_info(partition, record) for partition, record in found[:limit]]
        if infos:
            self._remember(wanted, infos[-1])
        return infos

    async def groups(self, limit: int) -> tuple[GroupInfo, ...]:
        """Read the groups that have members; see `Queue.groups`."""
        check_number("limit", limit, 1, BATCH, integer=True)
        parts = await call_each(await self.partitions(), partial(self._groups, limit))
        found = sorted((each for part in parts for each in part), key=lambda pair: pair[0])
        return tuple(info for _, info in found[:limit])

    async def _groups(self, limit: int, partition: str) -> list[tuple[int, GroupInfo]]:
        found: list[tuple[int, GroupInfo]] = []
        while len(found) < limit:
            size = min(limit - len(found), GROUPS_AT_ONCE)
            part = await self.store.groups(partition, limit=size, start=len(found))
            found += ((group.due_ms, _group_info(partition, group)) for group in part)
            if len(part) < size:
                break
        return found

    def _remember(self, state: State, last: TaskInfo) -> None:
        """Remember the place of a page's last task, whose id may be the next `after`."""
        self._places[state, last.id] = read_cursor(last.cursor, state)[1]
        if len(self._places) > PLACES_REMEMBERED:
            del self._places[next(iter(self._places))]

    async def begin(
        self, after: str | TaskInfo, state: State, partitions: Sequence[str]
    ) -> tuple[str, Place]:
        """Return the partition and the place after which a page begins."""
        text = after.cursor if isinstance(after, TaskInfo) else after
        if isinstance(text, str) and "|" in text:
            partition, place = read_cursor(text, state)
            self._check_own(partition, text)
            if partition not in partitions:
                raise TaskNotFound(f"{partition}/{place.id}")
            return partition, place
        partition, local_id = self.split(text)
        if partition not in partitions:
            raise TaskNotFound(text)
        with naming_lost(partition):
            (record,) = await self.store.get(partition, (local_id,), skip_newer=True)
        if record is not None and record.state is state:
            return partition, place_of(record)
        if (remembered := self._places.get((state, text))) is not None:
            return partition, remembered
        raise TaskNotFound(text)

    def split(self, task_id: str) -> tuple[str, str]:
        partition, local_id = split_id(task_id)
        self._check_own(partition, task_id)
        return partition, local_id

    def _check_own(self, partition: str, given: str) -> None:
        if queue_of(partition) != self.name:
            raise ConfigError.of("after", given, f"a task of the queue {self.name}")


def _group_info(partition: str, group: Group) -> GroupInfo:
    rule = DEFAULT_RULE if group.rule is None else group.rule
    return GroupInfo(
        name=group.name, queue=partition, size=group.size, due_at=instant_or_none(group.due_ms),
        max_size=rule.max_size, grace=rule.grace_ms / 1000, max_delay=rule.max_delay_ms / 1000,
        has_rule=group.rule is not None,
    )  # fmt: skip
