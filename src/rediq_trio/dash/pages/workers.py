"""The live workers, and what each runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct, Orders, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago
from rediq_trio.dash.pages.running import short_id
from rediq_trio.dash.pages.task import TaskDetailPage
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, bar, line
from rediq_trio.observe.words import counted, duration, percent, shown, size
from rediq_trio.values.task import WorkerInfo


class WorkersPage(ScreenPage):
    """Workers with their slots and their health."""

    name = "Workers"
    columns = (
        Column("WORKER", 22),
        Column("STATE", 8),
        Column("SLOTS", 17, counts=True),
        Column("QUEUES"),
        Column("MEMORY", 8, right=True),
        Column("BEAT", 7, right=True),
        Column("DELAY", 7, right=True, since=110),
        Column("UP", 10, right=True, since=110),
        Column("VERSION", 9, since=110),
    )
    sorts = ("name", "running", "memory")
    least_below = 3

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        workers = () if seen.view is None else seen.view.workers
        if not workers:
            return [
                line(TextSpan(" ▲ No worker is live. Start one: rediq run module:app", "bad")),
                line(),
            ]
        slots, busy = sum(w.concurrency for w in workers), sum(w.running for w in workers)
        return [line(f" {counted(len(workers), 'worker')}, {busy} of {slots} slots in use"), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        workers = () if seen.view is None else seen.view.workers
        orders: Orders[WorkerInfo] = (
            lambda w: (0, w.id),
            lambda w: (-w.running, w.id),
            lambda w: (-(w.memory or 0), w.id),
        )
        return [_row(worker) for worker in sorted(workers, key=orders[self.sort])]

    def _worker(self, seen: Seen) -> WorkerInfo | None:
        key = self.here(self.shown_rows(seen))
        workers = () if seen.view is None else seen.view.workers
        return next((each for each in workers if each.id == key), None)

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        worker = self._worker(seen)
        if worker is None:
            return []
        reasons = worker.health.reasons if worker.health is not None else ()
        text = "; ".join(reasons) or "it is well"
        serves = f"   {', '.join(worker.queues)}"
        return [
            line(),
            line(TextSpan(f" {worker.id}: ", "strong"), text),
            line(TextSpan(serves, "second")),
        ][:room]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return worker_acts(self._worker)

    def enter(self, seen: Seen) -> ScreenPage | None:
        worker = self._worker(seen)
        return None if worker is None else WorkerPage(worker.id)


class WorkerPage(ScreenPage):
    """What one worker runs."""

    name = "Worker"
    columns = (
        Column("TYPE", 22),
        Column("TASK"),
        Column("ATT", 4, right=True),
        Column("PROGRESS", 17),
        Column("RUNS", 10, right=True),
    )

    def __init__(self, worker_id: str) -> None:
        super().__init__()
        self.worker_id = worker_id

    def _worker(self, seen: Seen) -> WorkerInfo | None:
        workers = () if seen.view is None else seen.view.workers
        return next((each for each in workers if each.id == self.worker_id), None)

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        worker = self._worker(seen)
        if worker is None:
            return [
                line(
                    TextSpan(f" {self.worker_id} is not live: it has stopped, or is silent", "bad")
                ),
                line(),
            ]
        memory = "" if worker.memory is None else f", {size(worker.memory)}"
        facts = f" {worker.host}, process {worker.pid}, rediq-trio {worker.version}{memory}"
        types = "" if worker.types is None else f" knows {', '.join(worker.types)}"
        return [
            line(
                TextSpan(f" {worker.id}", "strong"), TextSpan(f"  {worker.state or ''}", "second")
            ),
            line(facts, f", up {ago(worker.started_at)}"),
            line(TextSpan(types, "second")),
            line(),
        ]

    def rows(self, seen: Seen) -> list[TableRow]:
        worker = self._worker(seen)
        found: list[TableRow] = []
        for task in (worker.running_tasks or ()) if worker is not None else ():
            far = (
                ""
                if task.percent is None
                else f"{bar(task.percent / 100)} {percent(task.percent / 100):>5}"
            )
            cells = (
                TextSpan(task.type),
                TextSpan(f"{task.id.partition('/')[0]}/{short_id(task.id)}", "second"),
                TextSpan(str(task.attempt), "faint"),
                TextSpan(far, "active"),
                TextSpan(ago(task.since)),
            )
            found.append(TableRow(task.id, cells, TextSpan("▶", "active")))
        return found

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        return [] if self.rows(seen) else [line(TextSpan(" It runs nothing now.", "second"))][:room]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return worker_acts(self._worker)

    def enter(self, seen: Seen) -> ScreenPage | None:
        key = self.here(self.shown_rows(seen))
        return TaskDetailPage(key) if key else None


def worker_acts(worker_here: Callable[[Seen], WorkerInfo | None]) -> Sequence[KeyAct]:
    """Return the acts on the worker that `worker_here` finds."""

    def quiet(seen: Seen) -> None:
        if (worker := worker_here(seen)) is None:
            return
        name, is_quiet = worker.id, worker.state == "quiet"

        async def change(client: Client) -> str:
            handle = client.worker(name)
            await (handle.work() if is_quiet else handle.quiet())
            return (
                f"{shown(name)} claims tasks again"
                if is_quiet
                else f"{shown(name)} claims no more tasks"
            )

        seen.start(change)

    def stop(seen: Seen) -> None:
        if (worker := worker_here(seen)) is None:
            return
        name = worker.id

        async def change(client: Client) -> str:
            await client.worker(name).stop()
            return f"{shown(name)} stops"

        some = counted(worker.running, "task")
        lines = (f"{some} that it runs may end within its grace,", "then they are released.")
        seen.question = AskedQuestion(
            f"Stop {shown(name, 40)}?", lines, f"Stop {shown(name, 30)}", change
        )

    return (KeyAct("p", "quiet", quiet), KeyAct("S", "stop", stop))


def _row(worker: WorkerInfo) -> TableRow:
    well = worker.health is None or worker.health.ready
    state = worker.state or "working"
    share = worker.running / max(1, worker.concurrency)
    slots = f"{worker.running}/{worker.concurrency}".ljust(6) + bar(share)
    delay = "-" if worker.loop_delay is None else duration(worker.loop_delay)
    return TableRow(
        worker.id,
        (
            TextSpan(worker.id),
            TextSpan(state, "paused" if state == "quiet" else ""),
            TextSpan(slots, "active" if worker.running else "faint"),
            TextSpan(", ".join(worker.queues), "second"),
            TextSpan("-" if worker.memory is None else size(worker.memory)),
            TextSpan(ago(worker.last_heartbeat)),
            TextSpan(delay),
            TextSpan(ago(worker.started_at), "second"),
            TextSpan(worker.version, "faint"),
        ),
        TextSpan("‖", "paused")
        if state == "quiet"
        else TextSpan(" ")
        if well
        else TextSpan("△", "warning"),
    )
