"""Every page and every act of the site."""

from __future__ import annotations

from rediq_trio.web.pages import (
    audit,
    check,
    dead,
    failures,
    find,
    help,
    overview,
    queues,
    schedules,
    task,
    tasks,
    work,
    workers,
    workflows,
)
from rediq_trio.web.site.page import Act, Page

_MODULES = (
    overview, queues, tasks, task, failures, dead, work, workers, schedules, workflows, check, audit,
    find, help,
)  # fmt: skip

PAGES: tuple[Page, ...] = tuple(page for module in _MODULES for page in module.PAGES)
ACTS: tuple[Act, ...] = tuple(act for module in _MODULES for act in module.ACTS)
