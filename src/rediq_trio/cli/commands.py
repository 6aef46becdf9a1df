"""The commands of `rediq`, by name: where each is, and its line of help.

A command is imported only when it is called: the help of all of them costs nothing.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from rediq_trio.cli.flags import AddParser


class Command(NamedTuple):
    """A command that is not imported yet."""

    place: str
    """Its module, below `rediq_trio.cli`, and the function that adds its parser."""
    help: str
    verbs: tuple[str, ...] = ()
    """Its verbs, if the first of them may be left out."""

    def add(self, add_parser: AddParser) -> argparse.ArgumentParser:
        """Import it, and add its parser."""
        module, _, function = self.place.partition(":")
        add = getattr(
            importlib.import_module(f"rediq_trio.cli.{module}"), function or "add_command"
        )
        parser: argparse.ArgumentParser = add(add_parser)
        return parser


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "demo": Command("demo", "hash a folder's files through a queue, and check everything"),
        "run": Command("run", "serve an app until a signal"),
        "web": Command("web.serve", "serve the web page: everything live, in a browser"),
        "dash": Command("dash", "show it all in this terminal, live, and act on it"),
        "status": Command("operate.status", "show what is wrong: alerts over all queues"),
        "enqueue": Command("operate.enqueue", "enqueue a task, or many from JSON lines"),
        "queue": Command("operate.queue", "list, show, pause, resume, limit and flush queues"),
        "task": Command("operate.task", "list, show, wait for, cancel, retry and delete tasks"),
        "dead": Command("operate.dead", "the dead tasks of queues: list, retry and delete them"),
        "failures": Command(
            "operate.failures",
            "what has failed, by kind: list, show, retry and delete",
            ("list", "show", "retry", "delete"),
        ),
        "workflow": Command("tasks.workflow", "list, show, cancel and retry workflows"),
        "worker": Command("operate.worker", "list, show, quiet and stop the workers"),
        "schedule": Command(
            "operate.schedule", "list, add, pause, resume, run and remove schedules"
        ),
        "group": Command("inspect.groups", "list the groups whose members wait"),
        "limit": Command("inspect.limits", "list the limits and who holds them"),
        "stats": Command("operate.stats", "how attempts went, by type of task"),
        "audit": Command("operate.audit", "list what people did through tools"),
        "mark": Command("operate.mark", "make a mark in the charts, like a deployment"),
        "history": Command("inspect.history", "write the last transitions of a queue to a file"),
        "replay": Command("inspect.history:add_replay", "run a history through the specification"),
        "check": Command("inspect.check", "check that every invariant of a queue holds"),
        "sim": Command(
            "inspect.sim", "run an app through storms of faults, in simulated time"
        ),
        "doctor": Command("setup.doctor", "check the server and the way to it, and say what to do"),
        "bench": Command("setup.bench", "measure how many tasks a worker works in a second"),
        "completion": Command("setup.completion", "print a completion script for a shell"),
    }
)
"""Every command, in the order of the help."""
