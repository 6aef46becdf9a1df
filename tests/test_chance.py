"""Nothing asks the operating system for random numbers, the time of day or its name but `values/chance.py`.

A simulation puts its own in their place, so one forgotten call would make a seed replay differently.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import rediq_trio

ROOT = Path(rediq_trio.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

REFUSED = {
    "os.getrandom", "os.urandom",
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.localtime", "time.gmtime",
    "time.ctime", "time.strftime", "time.sleep", "time.clock_gettime", "time.clock_gettime_ns",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "os.getpid", "socket.gethostname", "platform.node",
    "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.uuid8",
}  # fmt: skip
REFUSED_MODULES = ("random.", "secrets.")
"""Modules of which every name is refused."""

ALLOWED: Mapping[str, tuple[str, set[str]]] = {
    "values/chance.py": ("it is the place", {"*"}),
    "values/backoff.py": ("a type: the caller gives its own numbers", {"random.Random"}),
    "worker/watchdog.py": ("real time of a thread, which a simulation does without", {"time.monotonic"}),
    "store/encrypted/keys.py": ("keys and salts, which nobody may foresee", {"secrets.token_bytes"}),
    "web/access/login_file.py": (
        "salts and passwords, which nobody may foresee", {"secrets.token_bytes", "secrets.token_hex"},
    ),
    "web/access/sessions.py": ("ids of sessions, which nobody may foresee", {"secrets.token_urlsafe"}),
    "web/site/toast.py": ("the key that signs cookies", {"secrets.token_bytes"}),
    "web/task_parts/editing.py": ("the page of a browser", {"secrets.token_urlsafe"}),
    "web/site/work.py": ("the page of a browser", {"secrets.token_urlsafe", "secrets.token_hex"}),
    "web/site/trouble.py": ("the page of a browser", {"secrets.token_hex"}),
    "web/site/settings.py": ("the time zone of the machine", {"datetime.datetime.now"}),
    "store/named_memory.py": ("a key: a process that was forked has stores of its own", {"os.getpid"}),
    "clients/trio_thread.py": ("detects that the process was forked", {"os.getpid"}),
    "dash/driver.py": ("stops this process", {"os.getpid"}),
    "dash/ground.py": ("waits for a real terminal", {"time.monotonic"}),
}  # fmt: skip
"""What may ask it all the same, why, and for what."""
ALLOWED_FOLDERS: Mapping[str, tuple[str, set[str]]] = {
    "cli/": ("the command line: a process of its own, on a real machine", {"*"}),
    "testing/": (
        "numbers of a seed, and real time that bounds a handler which blocks",
        {"random.Random", "time.monotonic", "time.sleep"},
    ),
}
"""The same for each module of a folder."""


def foreign_names(tree: ast.Module) -> Iterator[str]:
    """Yield the full names of what a module takes of others, as in `datetime.datetime.now`."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {each.asname or each.name.split(".")[0]: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
            bound |= found
            yield from found.values()
    for node in ast.walk(tree):
        name = ""
        while isinstance(node, ast.Attribute):
            name, node = f".{node.attr}{name}", node.value
        if name and isinstance(node, ast.Name) and node.id in bound:
            yield bound[node.id] + name


def refused(module: str, tree: ast.Module) -> set[str]:
    """Return what a module takes of the operating system that it may not."""
    _, allowed = ALLOWED.get(module, ("", set[str]()))
    for folder, (_, names) in ALLOWED_FOLDERS.items():
        if module.startswith(folder):
            allowed = allowed | names
    found = {
        name
        for name in foreign_names(tree)
        if name in REFUSED or name.startswith(REFUSED_MODULES)
    }
    return set() if "*" in allowed else found - allowed


@pytest.mark.parametrize("module", MODULES)
def test_a_module_takes_random_numbers_and_the_time_of_day_from_one_place(module: str) -> None:
    found = refused(module, ast.parse((ROOT / module).read_text("utf-8")))
    assert not found, f"{module} takes {sorted(found)}: take it of rediq_trio.values.chance"


@pytest.mark.parametrize("module", ALLOWED)
def test_each_exception_is_needed_and_has_a_reason(module: str) -> None:
    why, allowed = ALLOWED[module]
    assert why
    if "*" not in allowed:
        assert allowed <= {*foreign_names(ast.parse((ROOT / module).read_text("utf-8")))}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import random\nrandom.uniform(1, 2)", {"random.uniform"}),
        ("from random import uniform\nuniform(1, 2)", {"random.uniform"}),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", {"datetime.datetime.now"}),
        ("from datetime import datetime\ndatetime.utcnow()", {"datetime.datetime.utcnow"}),
        ("def late():\n    import time as t\n    return t.time()", {"time.time"}),
        ("field(factory=os.urandom)\nimport os", {"os.urandom"}),
        ("import secrets\nsecrets.token_hex()", {"secrets.token_hex"}),
        ("from uuid import uuid4", {"uuid.uuid4"}),
        ("import time\ntime.perf_counter()", set[str]()),
        ("import trio\ntrio.current_time()", set[str]()),
    ],
)
def test_what_is_refused(text: str, found: set[str]) -> None:
    assert refused("client.py", ast.parse(text)) == found
    assert refused("cli/demo.py", ast.parse(text)) == set()
