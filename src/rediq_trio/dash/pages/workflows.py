"""The workflows, and the nodes of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago
from rediq_trio.dash.pages.task import TaskDetailPage
from rediq_trio.dash.palette import STATE_MARKS
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, bar, line
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.task import TaskInfo

WORKFLOWS_AT_ONCE = 50
WORKFLOW_ROLES: Mapping[str, str] = {
    "running": "active",
    "completed": "completed",
    "dead": "dead",
    "cancelled": "cancelled",
}
WORKFLOW_MARKS: Mapping[str, str] = {
    "running": "▶",
    "completed": "✓",
    "dead": "✗",
    "cancelled": "⊘",
}


class WorkflowsPage(ScreenPage):
    """How far each workflow is, the newest first."""

    name = "Workflows"
    columns = (
        Column("WORKFLOW", 14),
        Column("ID"),
        Column("STATE", 9),
        Column("DONE", 16, counts=True),
        Column("FAILED", 6, right=True, counts=True),
        Column("SINCE", 7, right=True),
    )
    sorts = ("newest", "name")
    counts_reads = True

    def __init__(self) -> None:
        super().__init__()
        self.workflows: tuple[WorkflowStatus, ...] = ()

    async def read(self, client: Client, hide: Hiding) -> None:
        self.workflows = await client.workflows(limit=WORKFLOWS_AT_ONCE)

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        if not self.workflows:
            return [line(" No workflow." if self.was_shown else " reading"), line()]
        some = counted(len(self.workflows), "workflow")
        newest = "the newest " if len(self.workflows) == WORKFLOWS_AT_ONCE else ""
        return [line(f" {newest}{some}"), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        found = list(self.workflows)
        if self.sort:
            found.sort(key=lambda each: each.name or "")
        return [_row(each) for each in found]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return workflow_acts(self, "")

    def enter(self, seen: Seen) -> ScreenPage | None:
        key = self.here(self.shown_rows(seen))
        return WorkflowPage(key) if key else None


class WorkflowPage(ScreenPage):
    """The nodes of one workflow, each with its state and what it waits for."""

    name = "Workflow"
    columns = (
        Column("NODE", 22),
        Column("STATE", 10),
        Column("WAITS FOR"),
        Column("ERROR", since=110),
        Column("ATT", 5, right=True),
    )

    def __init__(self, workflow_id: str) -> None:
        super().__init__()
        self.workflow_id = workflow_id
        self.status: WorkflowStatus | None = None
        self.needs: Mapping[str, Sequence[str]] = {}
        self.states: Mapping[str, State | None] = {}
        self.tasks: Mapping[str, TaskInfo] = {}
        self.failed: str | None = None

    async def read(self, client: Client, hide: Hiding) -> None:
        handle = await client.workflow(self.workflow_id)
        self.status, info = await handle.status(), await handle.info()
        self.needs, self.states = handle.needs, info.states
        self.tasks = {name: hide.info(task) for name, task in info.tasks.items()}
        self.failed = info.failed

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        status = self.status
        if status is None:
            return [line(TextSpan(f" {self.workflow_id}", "strong")), line()]
        first = line(
            TextSpan(f" {status.name or 'workflow'}  ", "strong"),
            TextSpan(status.state, WORKFLOW_ROLES.get(status.state, "")),
            TextSpan(f"  {status.id}", "second"),
        )
        failed = f", {self.failed} failed first" if self.failed else ""
        done = f" {bar(status.done / max(1, status.total))} {status.done} of {status.total} done{failed}"
        return [first, line(TextSpan(done)), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        return [self._row(name) for name in self.states]

    def _row(self, name: str) -> TableRow:
        state, task = self.states[name], self.tasks.get(name)
        mark = TextSpan(STATE_MARKS[state][0], state.value) if state is not None else TextSpan(" ")
        cells = (
            TextSpan(name),
            TextSpan("gone", "faint") if state is None else TextSpan(state.value, state.value),
            TextSpan(", ".join(self.needs.get(name, ())) or "-", "second"),
            TextSpan("" if task is None else task.error or "", "dead"),
            TextSpan("" if task is None else f"{task.attempt}/{task.max_retry + 1}", "faint"),
        )
        return TableRow(name, cells, mark)

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return workflow_acts(self, self.workflow_id)

    def enter(self, seen: Seen) -> ScreenPage | None:
        task = self.tasks.get(self.here(self.shown_rows(seen)))
        return None if task is None else TaskDetailPage(task.id)

    def id_here(self, seen: Seen) -> str | None:
        task = self.tasks.get(self.here(self.shown_rows(seen)))
        return self.workflow_id if task is None else task.id


def workflow_acts(page: ScreenPage, fixed: str) -> Sequence[KeyAct]:
    """Return the acts on a workflow: that of the page, else that of its cursor."""

    def retry(seen: Seen) -> None:
        if not (name := fixed or page.here(page.shown_rows(seen))):
            return

        async def change(client: Client) -> str:
            states = await (await client.workflow(name)).retry()
            left = sum(state in (State.DEAD, State.CANCELLED) for state in states.values())
            return f"retried {shown(name)}" + (f"; {counted(left, 'node')} stayed" if left else "")

        seen.start(change)

    def cancel(seen: Seen) -> None:
        if not (name := fixed or page.here(page.shown_rows(seen))):
            return

        async def change(client: Client) -> str:
            states = await (await client.workflow(name)).cancel()
            done = sum(state is State.CANCELLED for state in states.values())
            return f"cancelled {counted(done, 'node')} of {shown(name)}"

        lines = ("Cancels each node that has not ended;", "those that run are asked to end.")
        seen.question = AskedQuestion(
            f"Cancel {shown(name, 40)}?", lines, "Cancel the workflow", change
        )

    return (KeyAct("r", "retry failed", retry), KeyAct("c", "cancel", cancel))


def _row(each: WorkflowStatus) -> TableRow:
    share = each.done / max(1, each.total)
    role = WORKFLOW_ROLES.get(each.state, "faint")
    return TableRow(
        each.id,
        (
            TextSpan(each.name or each.unreadable or "-"),
            TextSpan(f"…{each.id[-12:]}", "second"),
            TextSpan(each.state, role),
            TextSpan(f"{bar(share)} {each.done}/{each.total}", "second"),
            TextSpan(str(each.failed), "dead" if each.failed else "faint"),
            TextSpan(ago(each.created_at)),
        ),
        TextSpan(WORKFLOW_MARKS.get(each.state, " "), role),
    )
