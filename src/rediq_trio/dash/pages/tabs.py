"""The tabs, in order, and the page that a typed name is about."""

from __future__ import annotations

from collections.abc import Mapping

from rediq_trio.dash.pages.failures import FailuresPage
from rediq_trio.dash.pages.overview import OverviewPage
from rediq_trio.dash.pages.page import ScreenPage
from rediq_trio.dash.pages.queues import QueuesPage
from rediq_trio.dash.pages.schedules import SchedulesPage
from rediq_trio.dash.pages.task import TaskDetailPage
from rediq_trio.dash.pages.tasks import TasksPage
from rediq_trio.dash.pages.workers import WorkerPage, WorkersPage
from rediq_trio.dash.pages.workflows import WorkflowsPage
from rediq_trio.observe.views import FleetView
from rediq_trio.tasks.ids import split_id

_PAGES: Mapping[str, type[ScreenPage]] = {
    page.name: page
    for page in (
        OverviewPage, QueuesPage, TasksPage, FailuresPage, WorkersPage, SchedulesPage, WorkflowsPage,
    )
}  # fmt: skip
TABS = tuple(_PAGES)
"""The names of the tabs."""


def first_page(tab: str) -> ScreenPage:
    """Return the page that a tab shows first."""
    return _PAGES[tab]()


def page_of(text: str, view: FleetView | None) -> tuple[int, ScreenPage] | None:
    """Return the tab and the page of what was typed: a queue, a worker or the id of a task.

    Raises `ConfigError` for a malformed id; None if there is no queue of that name.
    """
    if view is not None and view.queue(text) is not None:
        return TABS.index("Tasks"), TasksPage(text)
    if view is not None and any(worker.id == text for worker in view.workers):
        return TABS.index("Workers"), WorkerPage(text)
    if "/" in text:
        split_id(text)
        return TABS.index("Tasks"), TaskDetailPage(text)
    return None
