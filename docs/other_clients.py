"""Write the blocking and the asyncio client from the Trio one: `python -m docs.other_clients`.

Each public class of a client becomes one that holds the Trio object and makes its calls through
`SyncCalls` or `AsyncioCalls`, with the same methods, annotations and docstrings. It works on the
source text and imports nothing of the package, so it can mend a generated module that is broken.
`--check` changes nothing, and fails when a module is not what it would be now.
"""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "rediq_trio"

CLASSES = {
    "TaskHandle": "tasks/handle.py",
    "WorkflowHandle": "workflow/handle.py",
    "DeadLetters": "admin/dead_letters.py",
    "Selection": "admin/selection.py",
    "Queue": "admin/queue.py",
    "Schedules": "schedules/admin.py",
    "WorkerHandle": "admin/worker_handle.py",
    "Client": "client.py",
}
"""The classes that a client consists of, each with its module; a class comes after those it makes."""

IMPORTS = """
import builtins
import datetime as dt
import os
from collections.abc import {abc}
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from rediq_trio._errors import PartlyEnqueued
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.admin.selection import Selection
from rediq_trio.admin.worker_handle import WorkerHandle
from rediq_trio.client import Client
from rediq_trio.clients.{module} import {calls}, {search}
from rediq_trio.schedules.admin import ScheduleInfo, Schedules
from rediq_trio.spec.check.findings import Repair, Violation
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import Duration
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.limits import UNSET, QueueLimits, Rate, Unset
from rediq_trio.values.observed.audit import AuditEntry, Mark
from rediq_trio.values.observed.bulk import BulkProgress, SelectionPreview
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.observed.overview import Overview
from rediq_trio.values.observed.series import Series
from rediq_trio.values.observed.types import TypeStats
from rediq_trio.values.observed.why import Why
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import (
    NewTaskChanges,
    Progress,
    QueueStats,
    Task,
    TaskChanges,
    TaskInfo,
    WorkerInfo,
)
from rediq_trio.workflow.build import Workflow
from rediq_trio.workflow.handle import WorkflowHandle, WorkflowInfo

R = TypeVar("R")
"""

CLOSING = '''
    def close(self) -> None:
        """Close the client, and wait until it is closed. May be called again.

        Calls of other threads that are running raise `ConnectionLost`; later ones `ConfigError`.
        """
        self._calls.close()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
'''


@attrs.frozen(kw_only=True)
class Kind:
    """What a generated module is made of."""

    prefix: str
    """What its classes' names begin with."""
    title: str
    calls: str
    """The class that makes the calls, in `module`."""
    module: str
    file: str
    abc: str
    """What it imports of `collections.abc`."""
    define: str
    """How a function is defined that makes a call."""
    wait: str
    """What stands before a call."""
    types: dict[str, str]
    """The types that are named differently."""
    closing: str

    def source(self) -> str:
        """Return the module's text."""
        imports = IMPORTS.format(
            abc=self.abc, module=self.module, calls=self.calls, search=self.types["TaskSearch"]
        )
        parts = [
            f'"""{self.title}\n\nLong, because it is generated: `python -m docs.other_clients`.\n"""\n\n'
            f"from __future__ import annotations\n{imports}"
        ]
        parts += ["\n".join(self._class(name, file)) for name, file in CLASSES.items()]
        return _formatted("\n\n".join(parts).rstrip() + "\n")

    def _class(self, name: str, file: str) -> Iterator[str]:
        tree = ast.parse((PACKAGE / file).read_text("utf-8"))
        (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
        generic = "Generic[R]" if found.bases else ""
        yield f"class {self.prefix}{name}{f'({generic})' if generic else ''}:"
        yield _indented(_docstring(found), 4)
        yield ""
        wrapped = f"{name}[R]" if generic else name
        yield f"    def __init__(self, calls: {self.calls}, on_trio: {wrapped}) -> None:"
        yield "        self._calls = calls"
        yield "        self._on_trio = on_trio"
        yield from self._attributes(found)
        yield ""
        if "__repr__" in {n.name for n in found.body if isinstance(n, ast.FunctionDef)}:
            yield "    def __repr__(self) -> str:"
            yield f'        return repr(self._on_trio).replace("{name}", "{self.prefix}{name}", 1)'
            yield ""
        overloaded = False
        for node in found.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(node.name):
                is_overload = "overload" in map(ast.unparse, node.decorator_list)
                yield from self._overload(node) if is_overload else self._method(node, overloaded)
                yield ""
                overloaded = is_overload
        if name == "Client":
            yield self.closing

    def _attributes(self, found: ast.ClassDef) -> Iterator[str]:
        (init,) = (n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
        for node, following in zip(init.body, [*init.body[1:], None], strict=True):
            target, annotation = None, ""
            if isinstance(node, ast.Assign):
                target = node.targets[0]
            elif isinstance(node, ast.AnnAssign):
                target, annotation = node.target, f": {self._type(node.annotation)}"
            if not (isinstance(target, ast.Attribute) and _is_public(target.attr)):
                continue
            value = f"on_trio.{target.attr}"
            if target.attr == "dead":
                value = f"{self.prefix}DeadLetters(calls, {value})"
            elif target.attr == "handles":
                one = f"{self.prefix}TaskHandle(calls, handle)"
                value = f"MappingProxyType({{name: {one} for name, handle in {value}.items()}})"
            yield f"        self.{target.attr}{annotation} = {value}"
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                yield _indented(f'"""{following.value.value}"""', 8, continued=True)

    def _overload(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        yield "    @overload"
        yield f"    {self._signature(node, self.define)} ..."

    def _method(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, overloaded: bool
    ) -> Iterator[str]:
        assert node.returns is not None
        result = ast.unparse(node.returns)
        waits = isinstance(node, ast.AsyncFunctionDef) and not result.startswith("AsyncGenerator")
        yield f"    {self._signature(node, self.define if waits else 'def')}"
        yield _indented(_docstring(node), 8)
        passed = [arg.arg for arg in node.args.args[1:]]
        passed += [f"{arg.arg}={arg.arg}" for arg in node.args.kwonlyargs]
        passed += [f"**{node.args.kwarg.arg}"] if node.args.kwarg else []
        of_trio = f"self._on_trio.{node.name}"
        call = f"{self.wait}self._calls.call({', '.join([of_trio, *passed])})"
        if overloaded:
            yield "        on_trio: Any = self._on_trio"
            yield f"        found = {call.replace(of_trio, 'on_trio.' + node.name)}"
            kinds = [self.prefix + kind for kind in ("WorkflowHandle", "TaskHandle")]
            yield f"        kind: Any = {kinds[0]} if isinstance(found, WorkflowHandle) else {kinds[1]}"
            yield "        return kind(self._calls, found)"
        elif result.startswith("AsyncGenerator"):
            yield f"        return self._calls.generate({of_trio}({', '.join(passed)}))"
        elif result.startswith("AsyncIterator"):
            yield f"        return self._calls.iterate({of_trio}({', '.join(passed)}))"
        elif result == "TaskSearch":
            yield f"        return self._calls.search({of_trio}({', '.join(passed)}))"
        elif result.startswith("list[TaskHandle"):
            one = f"{self.prefix}TaskHandle(self._calls, handle)"
            yield "        try:"
            yield f"            found = {call}"
            yield "        except PartlyEnqueued as error:"
            yield "            error.handles = ["
            yield f"                None if handle is None else {one}"
            yield "                for handle in error.handles"
            yield "            ]"
            yield "            raise"
            yield f"        return [{one} for handle in found]"
        else:
            made = call if waits else f"{of_trio}({', '.join(passed)})"
            kind = result.partition("[")[0]
            if kind in CLASSES:
                made = f"{self.prefix}{kind}(self._calls, {made})"
            yield f"        {'' if result == 'None' else 'return '}{made}"

    def _signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef, define: str) -> str:
        arguments = copy.deepcopy(node.args)
        for arg in [*arguments.args, *arguments.kwonlyargs]:
            if arg.annotation is not None:
                arg.annotation = ast.parse(self._type(arg.annotation)).body[0].value  # type: ignore[attr-defined]
        assert node.returns is not None
        return f"{define} {node.name}({ast.unparse(arguments)}) -> {self._type(node.returns)}:"

    def _type(self, annotation: ast.expr) -> str:
        tree = copy.deepcopy(annotation)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if node.id in CLASSES:
                    node.id = self.prefix + node.id
                node.id = self.types.get(node.id, node.id)
        return ast.unparse(tree)


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    text = ast.get_docstring(node)
    assert text, node.name
    return f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'


def _formatted(text: str) -> str:
    settings = ["--config", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "ruff", "format", *settings, "-"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return ended.stdout


def _indented(text: str, width: int, *, continued: bool = False) -> str:
    lines = text.splitlines()
    rest = [line.strip() if continued else line for line in lines[1:]]
    return "\n".join((" " * width + line).rstrip() for line in [lines[0], *rest])


KINDS = (
    Kind(
        prefix="Sync",
        title="SyncClient: a client whose calls block, with what it opens.",
        calls="SyncCalls",
        module="sync_calls",
        file="sync_client.py",
        abc="Callable, Generator, Iterable, Iterator, Mapping, Sequence",
        define="def",
        wait="",
        types={
            "AsyncGenerator": "Generator",
            "AsyncIterator": "Iterator",
            "TaskSearch": "SyncTaskSearch",
        },
        closing=CLOSING,
    ),
    Kind(
        prefix="Asyncio",
        title="AsyncioClient: a client for asyncio, with what it opens.",
        calls="AsyncioCalls",
        module="asyncio_calls",
        file="asyncio_client.py",
        abc="AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence",
        define="async def",
        wait="await ",
        types={"TaskSearch": "AsyncioTaskSearch"},
        closing="",
    ),
)


def wanted() -> dict[Path, str]:
    """Return each generated module with the text that it should have now."""
    return {PACKAGE / "clients" / kind.file: kind.source() for kind in KINDS}


def stale() -> list[str]:
    """Return the names of the modules that are not as they should be now."""
    return [
        path.name
        for path, text in wanted().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def main() -> int:
    """Write the modules, or with `--check` say which are out of date."""
    if sys.argv[1:] not in ([], ["--check"]):
        print("usage: python -m docs.other_clients [--check]", file=sys.stderr)
        return 2
    names = stale()
    if sys.argv[1:]:
        for name in names:
            print(f"{name} is out of date: run python -m docs.other_clients", file=sys.stderr)
        return 1 if names else 0
    for path, text in wanted().items():
        if path.name in names:
            path.write_text(text, "utf-8")
            print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
