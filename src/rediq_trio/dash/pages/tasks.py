"""The tasks of a queue in one state: filtered, selected, and acted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rediq_trio._errors import ConfigError, RediqError
from rediq_trio.client import Client
from rediq_trio.dash.pages.export import ask_file
from rediq_trio.dash.pages.page import KeyAct, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago, drains, mark_of, rate_here, wrong
from rediq_trio.dash.pages.running import short_id
from rediq_trio.dash.pages.task import TaskDetailPage, why_words
from rediq_trio.dash.pages.task_acts import cancel_tasks, delete_tasks, retry_tasks, run_tasks_now
from rediq_trio.dash.palette import STATE_MARKS
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, line, width_of
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.filter_line import read_filter_line
from rediq_trio.observe.words import count, counted, rate
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.hiding import Hiding, check_search
from rediq_trio.values.task import TaskInfo

TASKS_AT_ONCE = 100
"""Tasks on one page of a list."""
STATES_SHOWN = tuple(STATE_MARKS)


class TasksPage(ScreenPage):
    """The tasks of one queue in one state, a page of them at a time."""

    name = "Tasks"
    filters_names = False
    least_below = 3
    columns = (
        Column("TYPE", 14), Column("TASK", 10), Column("PAYLOAD, ERROR OR PROGRESS"),
        Column("WORKER", 18, since=110), Column("PRI", 4, right=True, since=110),
        Column("ATT", 6, right=True), Column("SINCE", 10, right=True),
    )  # fmt: skip

    def __init__(self, queue: str = "", state: State | None = None, filter: str = "") -> None:
        super().__init__()
        self.queue = queue
        self.state = state
        self.tasks: list[TaskInfo] = []
        self.why = ""
        """Why the task of the cursor waits, or how it ended."""
        self.hides = False
        """Whether something of tasks is hidden here."""
        self.looked_at = self.of = 0
        self.pages: list[TaskInfo] = []
        """The last task of each page that was left by `n`."""
        self.all_matching = False
        self.wanted: FilterOptions = {}
        self.set_filter(filter)

    def set_filter(self, text: str) -> None:
        self.wanted = read_filter_line(text).options
        self.filter, self.top, self.pages, self.all_matching = text, 0, [], False

    async def read(self, client: Client, hide: Hiding) -> None:
        if not self.queue:
            return
        self.hides = bool(hide.paths)
        self._check_filter(hide)
        state = self.state or State.PENDING
        queue = client.queue(self.queue)
        newest = state is not State.PENDING  # pending ones come as they will be claimed
        if self.wanted:
            found, search = list[TaskInfo](), queue.find(state, newest=newest, **self.wanted)
            async for info in search:
                found.append(info)
                if len(found) == TASKS_AT_ONCE:
                    break
            self.looked_at, self.of = search.looked_at, search.of or 0
        else:
            after = self.pages[-1] if self.pages else None
            found = await queue.tasks(state, limit=TASKS_AT_ONCE, after=after, newest=newest)
        self.tasks = [hide.info(info) for info in found]
        self.chosen &= {info.id for info in found}
        self.why = await self._why(client, hide)

    def _check_filter(self, hide: Hiding) -> None:
        """Forget what was found, and raise `ConfigError`, if the filter would tell what is hidden."""
        try:
            check_search(hide, self.wanted)
        except ConfigError:
            self.tasks, self.why, self.looked_at, self.of = [], "", 0, 0
            self.all_matching = False
            self.chosen.clear()
            raise

    async def _why(self, client: Client, hide: Hiding) -> str:
        if not self.cursor:
            return ""
        try:
            return why_words(await client.task(self.cursor).why(), hide)
        except RediqError:
            return ""  # it has gone

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        self._settle(seen)
        queue = seen.queue(self.queue)
        if queue is None:
            return [line(TextSpan(" No queue was ever used here.", "second")), line()]
        speed = rate_here(seen, queue)
        first = line(
            TextSpan(f" {self.queue}  ", "strong"), mark_of(seen, queue), TextSpan(f" {wrong(seen, queue)}"),
        )  # fmt: skip
        if width >= 110:
            first += line(
                TextSpan(f"      {rate(speed)} done", "second"),
                TextSpan(f"      {counted(len(queue.workers), 'worker')}", "second"),
                TextSpan(f"      drains in {drains(seen, queue)}", "second"),
            )
        found = [first, self._states(queue.stats, width)]
        if self.filter:
            found.append(line(TextSpan(" filter: ", "second"), TextSpan(self.filter, "strong")))
        return [*found, line()]

    def _settle(self, seen: Seen) -> None:
        """Choose a queue and a state where none was: those with the most to see."""
        queues = () if seen.view is None else seen.view.queues
        if not self.queue and queues:
            self.queue = max(
                queues, key=lambda each: (each.waiting, each.stats.dead, each.tasks)
            ).name
        queue = seen.queue(self.queue)
        if self.state is None and queue is not None:
            order = (State.PENDING, State.ACTIVE, State.DEAD, State.RETRY, *STATES_SHOWN)
            counts = {each: getattr(queue.stats, each.value) for each in order}
            self.state = next((each for each in order if counts[each]), State.PENDING)

    def _states(self, stats: Any, width: int) -> ScreenLine:
        found: ScreenLine = (TextSpan(" "),)
        for state, (mark, letter) in STATE_MARKS.items():
            word = f"{mark} {state.value}" if width >= 130 else mark if width >= 110 else letter
            text = f"{word} {count(getattr(stats, state.value))}"
            here = state is self.state
            role = "tab" if here else state.value if getattr(stats, state.value) else "faint"
            found += line(
                TextSpan(f"[{text}]" if here else f" {text} ", role, number=f"state {state}")
            )
        return found if width_of(found) < width else tuple(s for s in found if s.text.strip())

    def sideways(self, step: int) -> bool:
        at = STATES_SHOWN.index(self.state or State.PENDING)
        self.state = STATES_SHOWN[(at + step) % len(STATES_SHOWN)]
        self.tasks, self.pages, self.top, self.at, self.cursor = [], [], 0, 0, ""
        self.chosen.clear()
        self.all_matching = False
        return True

    def rows(self, seen: Seen) -> list[TableRow]:
        self._settle(seen)
        return [_row(info) for info in self.tasks]

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        found: list[ScreenLine] = (
            [line(TextSpan(f" {self.why}", "second"))] if self.why and self.tasks else []
        )
        if self.all_matching:
            found.append(
                line(TextSpan(" All that match are selected, on other pages too.", "chosen"))
            )
        elif self.chosen:
            found.append(line(TextSpan(f" {len(self.chosen)} selected.", "chosen")))
        if self.wanted:
            looked = (
                f" Looked at {count(self.looked_at)} of {count(self.of)}, found {len(self.tasks)}."
            )
            if not self.tasks:
                looked += " h and l look in the states beside."
            found.append(line(TextSpan(looked, "second")))
        elif not self.tasks and self.state is not None:
            found.append(line(TextSpan(f" No {self.state.value} tasks.", "second")))
        elif len(self.tasks) == TASKS_AT_ONCE:
            found.append(
                line(TextSpan(f" {TASKS_AT_ONCE} shown.  n shows the next ones", "second"))
            )
        return [line(), *found][:room]

    def _next(self, seen: Seen) -> TasksPage | None:
        if len(self.tasks) < TASKS_AT_ONCE:
            self.pages.clear()
        else:
            self.pages.append(self.tasks[-1])
        self.at, self.cursor, self.top = 0, "", 0
        return None

    def _all(self, seen: Seen) -> None:
        self.all_matching = not self.all_matching and bool(self.tasks)

    def _chosen_ids(self, seen: Seen) -> list[str]:
        here = self.here(self.shown_rows(seen))
        return sorted(self.chosen) or ([here] if here else [])

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        state = self.state
        which = f"Queue {self.queue}" + (f", {self.filter}" if self.filter else "")
        everything = (
            (self.queue, state, self.wanted, which) if self.all_matching and state else None
        )
        ended = state in (State.DEAD, State.CANCELLED)
        first = KeyAct("r", "retry" if ended else "run first", lambda now: (
            retry_tasks(now, self._chosen_ids(now), everything) if ended
            else run_tasks_now(now, self._chosen_ids(now))
        ))  # fmt: skip
        return (
            *([] if state in (State.ACTIVE, State.COMPLETED) else [first]),
            KeyAct("c", "cancel", lambda now: cancel_tasks(now, self._chosen_ids(now), everything)),
            KeyAct("D", "delete", lambda now: delete_tasks(now, self._chosen_ids(now), everything)),
            KeyAct("e", "export", self._export, changes=False),
            KeyAct("*", "select all that match", self._all, changes=False),
            KeyAct("n", "next page", self._next, changes=False),
        )

    def _export(self, seen: Seen) -> None:
        if self.state is None or not self.tasks:
            seen.say("there is no task here to export", refused=True)
        elif self.hides:
            said = "some values are hidden here, and the file would have them: use rediq task export"
            seen.say(said, refused=True)
        elif self.chosen and not self.all_matching:
            seen.say("e exports all that match: * selects them, space unselects a row", refused=True)
        else:
            ask_file(seen, self.queue, self.state, self.wanted)

    def enter(self, seen: Seen) -> ScreenPage | None:
        key = self.here(self.shown_rows(seen))
        return TaskDetailPage(key) if key else None


def _row(info: TaskInfo) -> TableRow:
    mark, role = STATE_MARKS[info.state][0], info.state.value
    at = info.finished_at or info.started_at or info.run_at
    return TableRow(
        info.id,
        (
            TextSpan(info.type), TextSpan(short_id(info.id), "second"), _what(info),
            TextSpan(info.worker or "–", "second"), TextSpan(str(info.priority), "faint"),
            TextSpan(f"{info.attempt}/{count(info.max_retry + 1)}", "second"), TextSpan(ago(at)),
        ),
        TextSpan(mark, role),
    )  # fmt: skip


def _what(info: TaskInfo) -> TextSpan:
    if info.error:
        return TextSpan(info.error, "dead" if info.state is State.DEAD else "second")
    if info.progress is not None and info.state is State.ACTIVE:
        return TextSpan(f"{info.progress.percent:g} % {info.progress.message or ''}", "active")
    return TextSpan(payload_text(info))


def payload_text(info: TaskInfo) -> str:
    """Return a payload as one line."""
    if info.payload_missing is not None:
        return f"not shown: {info.payload_missing}"
    return json.dumps(plain(info.payload), ensure_ascii=False)
